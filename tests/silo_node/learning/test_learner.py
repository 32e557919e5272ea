"""A silo's learning on a cohort in memory: volumes with masks through transforms, trainer and metrics."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from privacy.errors import DataError
from privacy.learning import Model, Task
from privacy.randomness import SecureStream
from privacy.study import Component, Evaluation, Privacy, Study, Training
from silo_node.learning import examples, tasks
from silo_node.learning.learner import Learner
from silo_node.learning.transformed import TransformedImages
from tests.privacy import studies

UNET = {"widths": [4, 8], "strides": [2], "residual_units": 1}


@dataclass(frozen=True)
class Balls:
    """A patient whose volumes each have one bright ball, which the mask names."""

    count: int
    seed: int
    classes: int = 2

    def load(self, image: int) -> examples.Stored:
        random = np.random.default_rng([self.seed, image])
        centre = random.uniform(5, 11, 3)[:, None, None, None]
        ball = ((np.indices((17, 15, 16)) - centre) ** 2).sum(0) < 16
        volume = random.normal(size=ball.shape) + 3 * ball
        mask: NDArray[np.uint8] = ball.astype(np.uint8) * (self.classes - 1)
        return volume, np.diag([2.0, 1.0, 1.0, 1.0]), mask

    def label(self, image: int) -> object:
        return ()

    def content(self, image: int) -> str:
        return f"{self.seed:032x}{image:032x}"


@dataclass(frozen=True)
class InMemory:
    train: tuple[Balls, ...]
    test: tuple[Balls, ...] = ()

    def patients(self, split: str) -> tuple[Balls, ...]:
        return {"train": self.train, "test": self.test}[split]


def study(**changes: object) -> Study:
    return studies.study().model_copy(
        update={
            "task": Task(kind="segmentation", label="mask", dimensions=3, classes=("background", "ball")),
            "model": Model(name="unet", parameters=UNET, seed=1),
            "transforms": (
                Component(name="orient"),
                Component(name="spacing", parameters={"millimetres": [2.0, 1.0, 1.0]}),
                Component(name="crop-or-pad", parameters={"size": [16, 16, 16]}),
                Component(name="standardise"),
            ),
            "training": Training(rounds=1, local_steps=25, learning_rate=0.1, momentum=0.9),
            "privacy": Privacy(mechanism="none", clip=1.0, sampling_rate=0.5, lot_size=4),
            "evaluation": Evaluation(split="test"),
            **changes,
        }
    )


DISK = TransformedImages(Path("/nowhere"), bytes(32), bytes(32))
"""What fits into memory never touches it."""


def learner_of(said: Study, cohort: InMemory) -> Learner:
    return Learner(said, cohort, SecureStream(), DISK)


def test_segmentation_of_volumes_is_learned_and_measured() -> None:
    cohort = InMemory(tuple(Balls(1 + i % 2, i) for i in range(8)), tuple(Balls(2, 100 + i) for i in range(3)))
    learner = learner_of(study(), cohort)
    before = learner.initial_vector()
    update = learner.train(before, 1).consume()
    task = tasks.task(study())
    dice = [task.summarise(learner.evaluate(vector)).values["dice"] for vector in (before, before + update)]
    assert dice[0] is not None
    assert dice[1] is not None
    assert dice[1] > max(0.5, dice[0])
    windowed = learner_of(study(evaluation=Evaluation(split="test", window=(8, 8, 8))), cohort)
    assert task.summarise(windowed.evaluate(before + update)).patients == 3


def test_only_what_is_not_frozen_is_sent() -> None:
    cohort = InMemory((Balls(1, 1),))
    whole = learner_of(study(), cohort)
    names = [name for name, _ in whole.layout.tensors]
    part = learner_of(study(model=Model(name="unet", parameters=UNET, seed=1, freeze=("model.0",))), cohort)
    assert [name for name, _ in part.layout.tensors] == [name for name in names if not name.startswith("model.0")]
    start = part.initial_vector()
    assert part.train(start, 1).consume().size == start.size < whole.initial_vector().size
    assert not part.evaluate(start).any()


def test_what_does_not_fit_in_memory_is_transformed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[tuple[int, int]] = []
    whole = Balls.load
    monkeypatch.setattr(Balls, "load", lambda self, image: (read.append((self.seed, image)), whole(self, image))[1])
    said = study()
    patients = (Balls(2, 1), Balls(1, 2))
    room = 2 * 8 * 16**3
    disk = TransformedImages(tmp_path / "disk", bytes(32), said.digest())
    held = examples.Examples(patients, tasks.transforms(said), tasks.task(said), disk, room)
    assert read == [(1, 0), (1, 1)]
    assert held.counts.tolist() == [2, 1]
    epochs = [[pair for patient in held for pair in patient] for _ in range(2)]
    assert [(image.shape, mask.shape) for image, mask in epochs[0]] == [((1, 16, 16, 16), (16, 16, 16))] * 3
    assert all(torch.equal(a, b) for one, two in zip(*epochs, strict=True) for a, b in zip(one, two, strict=True))
    assert read == [(1, 0), (1, 1), (2, 0)]
    (entry,) = (tmp_path / "disk").iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])  # what is damaged is made again
    assert torch.equal(held.load(1, 0)[0], epochs[0][2][0])
    assert read[3:] == [(2, 0)]
    disk.forget()
    assert not (tmp_path / "disk").exists()


def test_a_mask_with_a_class_that_the_study_does_not_name_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        learner_of(study(), InMemory((Balls(1, 1, classes=3),)))
    assert caught.value.code == "tasks.label"


def test_a_cohort_without_patients_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="no patient to train on"):
        learner_of(study(), InMemory((), (Balls(1, 1),)))
