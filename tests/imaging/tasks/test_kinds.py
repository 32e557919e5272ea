import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss

from imaging.errors import ImagingError
from imaging.tasks import kinds
from imaging.tasks.task import Results

ALL = [
    kinds.task("binary_classification"),
    kinds.task("multi_class_classification", 2, ("a", "b", "c")),
    kinds.task("multi_label_classification", 2, ("a", "b", "c")),
    kinds.task("regression", bounds=(-10.0, 30.0)),
    kinds.task("regression", bounds=(-10.0, 30.0), loss="huber"),
    *(
        kinds.task("segmentation", dimensions, ("background", "a", "b"), loss=loss)
        for dimensions in (2, 3)
        for loss in ("dice-cross-entropy", "dice", "tversky", "cross-entropy")
    ),
]
SPATIAL = (6, 7, 8)


def made_up(task, images, seed=0):
    spatial = SPATIAL[: task.problem.dimensions]
    generator = torch.Generator().manual_seed(seed)
    shape = (images, task.problem.outputs, *(spatial if task.problem.dense else ()))
    examples = task.examples(spatial)
    targets = torch.stack([examples[i % len(examples)] for i in range(images)])
    return torch.randn(*shape, generator=generator), targets


@pytest.mark.parametrize("task", ALL, ids=lambda task: f"{type(task).__name__}{task.problem.dimensions}")
def test_the_loss_of_several_is_the_mean_of_their_own_and_vmap_agrees(task):
    output, targets = made_up(task, 4)
    own = torch.stack([task.loss(output[i : i + 1], targets[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(task.loss(output, targets), own.mean())
    mapped = torch.func.vmap(lambda o, t: task.loss(o[None], t[None]))(output, targets)
    torch.testing.assert_close(mapped, own)


@pytest.mark.parametrize("task", ALL, ids=lambda task: f"{type(task).__name__}{task.problem.dimensions}")
def test_counts_of_silos_add_up_to_the_counts_of_all_their_patients(task):
    def results(start, stop):
        output, targets = made_up(task, 40)
        losses = np.array([float(task.loss(output[i : i + 1], targets[i : i + 1])) for i in range(start, stop)])
        return Results(task.scores(output[start:stop], targets[start:stop]), losses, list(targets[start:stop]))

    parts = [task.counts(results(*span), 16) for span in ((0, 7), (7, 30), (30, 40))]
    whole = task.counts(results(0, 40), 16)
    assert {part.shape for part in parts} == {(task.fields(16),)} == {whole.shape}
    assert all(part.dtype == np.int64 and part.min() >= 0 and part.max() <= 65_535 for part in parts)
    assert task.summarise(np.sum(parts, axis=0)) == task.summarise(whole)
    assert task.summarise(whole).patients == 40
    broken = whole.copy()
    broken[0] += 41 * 65_536 if task.fields(16) < 20 else 41
    with pytest.raises(ImagingError) as caught:
        task.summarise(broken)
    assert caught.value.code == "metrics.corrupt"
    with pytest.raises(ImagingError) as caught:
        task.summarise(np.zeros_like(whole))
    assert caught.value.code == "metrics.empty"


def test_segmentation_losses_are_monais_on_a_one_hot_mask():
    output, targets = made_up(ALL[5], 3)
    one_hot = torch.nn.functional.one_hot(targets.long(), 3).movedim(-1, 1).float()
    for name, theirs in (("dice", DiceLoss), ("dice-cross-entropy", DiceCELoss)):
        task = kinds.task("segmentation", 2, ("background", "a", "b"), loss=name)
        expected = theirs(include_background=False, softmax=True)(output, one_hot)
        torch.testing.assert_close(task.loss(output, targets), expected)


def exact_auc(scores, truth):
    difference = scores[truth][:, None] - scores[~truth][None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean()


def test_auc_of_each_class_against_the_rest_is_close_to_the_exact_one():
    task = ALL[1]
    random = np.random.default_rng(4)
    truth = random.integers(0, 3, 2000)
    logits = random.normal(size=(2000, 3)) + 1.5 * np.eye(3)[truth]
    scores = task.scores(torch.from_numpy(logits), torch.from_numpy(truth))
    losses = np.zeros(2000)
    found = task.summarise(task.counts(Results(scores, losses, list(torch.from_numpy(truth))), 256)).values
    for place, name in enumerate("abc"):
        assert found[f"auc_{name}"] == pytest.approx(exact_auc(scores[:, place], truth == place), abs=2e-3)
    assert found["accuracy"] == pytest.approx((scores.argmax(1) == truth).mean())


def test_errors_of_a_regression_are_in_the_labels_units_and_bounded():
    task = ALL[3]
    labels = [-10.0, 0.0, 30.0, 10.0]
    targets = torch.stack([task.target(label) for label in labels])
    output = targets[:, None] + torch.tensor([[0.1], [-0.05], [5.0], [0.0]])
    results = Results(task.scores(output, targets), np.zeros(4), list(targets))
    values = task.summarise(task.counts(results, 8)).values
    assert values["mean_absolute_error"] == pytest.approx((4 + 2 + 40 + 0) / 4, abs=1e-3)
    assert values["mean_squared_error"] == pytest.approx((16 + 4 + 1600) / 4, abs=0.1)


@pytest.mark.parametrize(
    ("task", "label"),
    [
        (ALL[0], 2),
        (ALL[0], True),
        (ALL[0], 1.0),
        (ALL[1], 3),
        (ALL[1], -1),
        (ALL[2], (0, 1)),
        (ALL[2], (0, 1, 2)),
        (ALL[2], 1),
        (ALL[3], 30.5),
        (ALL[3], float("nan")),
        (ALL[3], "1"),
        (ALL[5], np.full((4, 4), 3, np.uint8)),
        (ALL[5], np.zeros((4, 4), np.int64)),
        (ALL[5], np.zeros((4, 4, 4), np.uint8)),
        (ALL[5], 1),
    ],
)
def test_a_label_that_does_not_fit_is_refused_without_naming_it(task, label):
    with pytest.raises(ImagingError) as caught:
        task.target(label)
    assert caught.value.code == "tasks.label"
    assert "30.5" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("detection",), "tasks.unknown"),
        (("binary_classification", 2, ("a", "b")), "tasks.classes"),
        (("multi_class_classification", 2, ("a",)), "tasks.classes"),
        (("multi_class_classification", 2, ("a", "a")), "tasks.classes"),
        (("segmentation", 3), "tasks.classes"),
        (("regression",), "tasks.range"),
        (("regression", 2, (), (1.0, 1.0)), "tasks.range"),
        (("binary_classification", 2, (), (0.0, 1.0)), "tasks.range"),
        (("binary_classification", 2, (), None, "dice"), "tasks.unknown"),
        (("segmentation", 2, ("a", "b"), None, "focal"), "tasks.unknown"),
    ],
)
def test_what_is_no_task_is_refused(arguments, code):
    with pytest.raises(ImagingError) as caught:
        kinds.task(*arguments)
    assert caught.value.code == code
