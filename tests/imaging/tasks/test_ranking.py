import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import ImagingError
from imaging.tasks import ranking, sums
from imaging.tasks.task import Metrics


def exact_auc(scores, targets):
    positive, negative = scores[targets == 1], scores[targets == 0]
    difference = positive[:, None] - negative[None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean()


def patients(seed, count, separation=2.0):
    random = np.random.default_rng(seed)
    targets = (random.random(count) < 0.6).astype(np.float32)
    logits = random.normal(size=count) * 1.5 + separation * (targets - 0.5)
    scores = 1 / (1 + np.exp(-logits))
    losses = -np.log(np.where(targets == 1, scores, 1 - scores))
    return scores, targets, losses


@pytest.mark.parametrize("separation", [0.0, 1.0, 2.0, 4.0, 6.0])
@pytest.mark.parametrize("bins", [32, 64, 512])
def test_auc_loss_and_accuracy_agree_with_the_exact_ones(separation, bins):
    scores, targets, losses = patients(3, 3000, separation)
    result = ranking.summarise(ranking.counts(scores, targets, losses, bins), bins)
    assert result.values["auc"] == pytest.approx(exact_auc(scores, targets), abs=0.2 / bins)
    assert result.loss == pytest.approx(losses.mean(), abs=1e-5)
    assert result.values["accuracy"] == pytest.approx(((scores > 0.5) == (targets == 1)).mean(), abs=1e-12)
    assert result.patients == 3000


@settings(max_examples=30)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=16), st.integers(8, 128))
def test_the_sum_over_silos_is_that_of_all_patients_together(sizes, bins):
    silos = [patients(seed, size) for seed, size in enumerate(sizes)]
    vectors = [ranking.counts(*silo, bins) for silo in silos]
    together = ranking.counts(*(np.concatenate(column) for column in zip(*silos, strict=True)), bins)
    for vector in vectors:
        assert vector.shape == (ranking.fields(bins),)
        assert vector.dtype == np.int64
        assert 0 <= vector.min() <= vector.max() <= sums.LIMIT
    assert ranking.summarise(np.sum(vectors, axis=0), bins) == ranking.summarise(together, bins)


def test_sixteen_full_silos_at_the_largest_loss_are_exact():
    count = sums.LIMIT
    vector = ranking.counts(np.zeros(count), np.ones(count, dtype=np.float32), np.full(count, 99.0), 8)
    assert vector.max() <= sums.LIMIT
    result = ranking.summarise(16 * vector, 8)
    assert result == Metrics(sums.MAX_LOSS, 16 * count, {"auc": None, "accuracy": 0.0})


def test_scores_at_both_ends_fall_into_the_outer_bins():
    vector = ranking.counts(np.array([0.0, 1.0]), np.array([0, 1], dtype=np.float32), np.zeros(2), 8)
    assert vector[0] == vector[15] == 1
    assert ranking.summarise(vector, 8).values["auc"] == 1.0


@pytest.mark.parametrize(
    ("score", "target", "loss"),
    [(1.1, 0, 0), (np.nan, 0, 0), (0.5, 2, 0), (0.5, 0, np.inf), (0.5, 0, -1), (-0.1, 0, 0)],
)
def test_values_out_of_range_are_refused(score, target, loss):
    with pytest.raises(ImagingError) as caught:
        ranking.counts(np.array([score]), np.array([target], dtype=np.float32), np.array([float(loss)]), 8)
    assert caught.value.code == "metrics.value"


def test_too_many_patients_for_the_fields_are_refused():
    count = sums.LIMIT + 1
    with pytest.raises(ImagingError) as caught:
        ranking.counts(np.zeros(count), np.zeros(count, dtype=np.float32), np.zeros(count), 8)
    assert caught.value.code == "metrics.patients"


def tampered(position, amount):
    vector = ranking.counts(*patients(0, 50), 8)
    vector[position] += amount
    return vector


@pytest.mark.parametrize(
    "total",
    [
        tampered(0, 1),
        tampered(0, -60),
        tampered(16, 60),
        tampered(17, 1),
        tampered(20, 60_000),
        np.ones(6, dtype=np.int64),
    ],
)
def test_a_sum_that_contradicts_itself_is_refused(total):
    with pytest.raises(ImagingError) as caught:
        ranking.summarise(total, 8)
    assert caught.value.code == "metrics.corrupt"


def test_no_patients_is_refused():
    with pytest.raises(ImagingError) as caught:
        ranking.summarise(np.zeros(ranking.fields(8), dtype=np.int64), 8)
    assert caught.value.code == "metrics.empty"
