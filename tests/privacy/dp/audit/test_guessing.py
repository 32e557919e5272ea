import numpy as np
import pytest
from scipy import stats

from privacy.dp.audit.guessing import coins, evidence, right_guesses


@pytest.mark.parametrize(
    ("rate", "noise", "steps", "size"), [(1.0, 2.0, 1, 1.0), (0.25, 1.2, 1, 0.6), (0.3, 4.0, 7, 1.0)]
)
def test_evidence_is_the_ratio_of_the_two_densities(rate: float, noise: float, steps: int, size: float) -> None:
    seen = np.linspace(-8, 12, 41)
    deviation = noise * steps**0.5
    taken = np.arange(steps + 1)
    mixture = stats.norm.pdf(seen[:, None], taken * size, deviation) @ stats.binom.pmf(taken, steps, rate)
    expected = np.log(mixture / stats.norm.pdf(seen, 0, deviation))
    found = evidence(seen, size, rate=rate, noise=noise, steps=steps)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_size_may_differ_by_canary() -> None:
    seen = np.array([0.5, 2.0])
    together = evidence(seen, np.array([0.2, 1.0]), rate=0.5, noise=1.0, steps=1)
    alone = [float(evidence(seen[i : i + 1], s, rate=0.5, noise=1.0, steps=1)[0]) for i, s in ((0, 0.2), (1, 1.0))]
    np.testing.assert_allclose(together, alone)


def test_only_the_surest_are_guessed_and_counted() -> None:
    ratios = np.array([3.0, -2.5, 0.1, -0.2, 2.0])
    present = np.array([True, True, False, False, True])
    assert [right_guesses(ratios, present, r) for r in range(6)] == [0, 1, 1, 2, 3, 3]


def test_coins_are_fair_and_as_many_as_asked() -> None:
    tossed = coins(40_001)
    assert tossed.shape == (40_001,)
    assert stats.binomtest(int(tossed.sum()), tossed.size).pvalue > 1e-9
