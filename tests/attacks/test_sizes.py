"""Attack 15, sizes: what a silo sends is the same, message by message and byte by byte, whatever its cohort's size.

The aggregator and whoever taps the line see sizes and numbers of messages; for instants see `test_instants`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.tasks import ranking
from privacy.update import UpdateLayout
from privacy.wire import bodies
from privacy.wire.keys import KeyGrant
from silo_node.rounds.agent import Agent
from tests.attacks.stage import Stage, codes, stage_of
from tests.integration.federation import BINS, MadeUpLearner

Sent = list[tuple[str, tuple[int, ...]]]


class Cohort(MadeUpLearner):
    """A learner with so many held-out patients."""

    patients = 10

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        ranks = np.arange(self.patients)
        labels = (ranks % 2).astype(np.float32)
        return ranking.counts(ranks / self.patients, labels, np.full(self.patients, 0.5), BINS)


class OnePatientOneField(Cohort):
    """Off: what a silo reports has one number for each patient."""

    def __post_init__(self) -> None:
        self.layout = UpdateLayout((("weight", (self.parameters,)),), self.patients)

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.ones(self.patients, np.int64)


def tapped(agent: Agent) -> Sent:
    """From now on, each call the silo makes, and the sizes of what it sends.

    Not the grants of the study's key: who of those that have it answers first is a matter of instants.
    """
    sent: Sent = []
    client = agent.client

    def unary(name: str, call: object) -> object:
        def send(data: bytes, **options: object) -> object:
            kind = bodies.decode_signed(data).kind if name == "_submit" else name
            if kind != bodies.kind_of(KeyGrant):
                sent.append((kind, (len(data),)))
            return call(data, **options)  # type: ignore[operator]

        return send

    def stream(parts: Iterator[bytes], **options: object) -> object:
        whole = list(parts)
        sent.append(("upload", tuple(map(len, whole))))
        return upload(iter(whole), **options)  # type: ignore[arg-type]

    upload = client._upload
    client._upload = stream  # type: ignore[assignment]
    for name in ("_submit", "_await", "_audit", "_download"):
        setattr(client, name, unary(name, getattr(client, name)))
    return sent


def traffic(stage: Stage, learner: type[Cohort], patients: int) -> dict[int, Sent]:
    """All that each silo sends in a study in which every silo has so many patients."""
    sent: dict[int, Sent] = {}

    def cast(agent: Agent) -> None:
        sent[agent._index] = tapped(agent)

    stage.federation.learner = type("Sized", (learner,), {"patients": patients})
    if learner is OnePatientOneField:  # the study would otherwise refuse such an upload
        study = stage.federation.study
        encryption = study.encryption.model_copy(update={"length": stage.federation.parameters + patients + 1})
        stage.federation.study = study.model_copy(update={"encryption": encryption})
    _, results = stage.play(cast=cast)
    assert codes(results) <= {"ok"} or learner is OnePatientOneField
    return sent


def uploads(sent: Iterable[tuple[str, tuple[int, ...]]]) -> list[tuple[int, ...]]:
    return [lengths for name, lengths in sent if name == "upload"]


def test_attack_sizes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch)
    few, many = (traffic(stage.at(tmp_path / str(count)), Cohort, count) for count in (10, 10_000))
    assert few == many
    assert {silo: len(uploads(sent)) for silo, sent in few.items()} == {1: 2, 2: 2, 3: 2}


def test_attack_sizes_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One field for each patient is enough to be seen."""
    stage = stage_of(tmp_path, monkeypatch)
    few, many = (traffic(stage.at(tmp_path / str(count)), OnePatientOneField, count) for count in (10, 10_000))
    assert uploads(few[2]) != uploads(many[2])
