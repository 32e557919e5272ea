import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privacy.dp.audit.bound import epsilon_lower_bound, p_value


def by_the_paper(m: int, r: int, v: int, eps: float, delta: float) -> float:
    """Appendix D of arXiv 2305.08846, term by term."""
    q = 1 / (1 + math.exp(-eps))
    beta = stats.binom.sf(v - 1, r, q)
    alpha, total = 0.0, 0.0
    for i in range(1, v + 1):
        total += stats.binom.pmf(v - i, r, q)
        alpha = max(alpha, total / i)
    return min(1.0, beta + alpha * delta * 2 * m)


@settings(max_examples=60)
@given(st.integers(1, 400), st.data(), st.floats(0, 8), st.sampled_from([0.0, 1e-7, 1e-5, 1e-3]))
def test_the_p_value_is_that_of_the_paper(guesses: int, data: st.DataObject, epsilon: float, delta: float) -> None:
    correct = data.draw(st.integers(0, guesses))
    canaries = data.draw(st.integers(guesses, 10_000))
    expected = by_the_paper(canaries, guesses, correct, epsilon, delta)
    assert p_value(canaries, guesses, correct, epsilon, delta) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_thousands_of_guesses_do_not_underflow() -> None:
    expected = by_the_paper(100_000, 5000, 4000, 1.3, 1e-6)
    assert p_value(100_000, 5000, 4000, 1.3, 1e-6) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("canaries", "ceiling"), [(100, 3.5), (500, 5.1), (1000, 5.8), (2000, 6.5), (5000, 7.4)])
def test_all_right_proves_no_more_than_the_number_of_guesses_allows(canaries: int, ceiling: float) -> None:
    assert epsilon_lower_bound(canaries, canaries, canaries, 0.0, 0.95) == pytest.approx(ceiling, abs=0.06)


def test_a_coin_proves_nothing() -> None:
    assert epsilon_lower_bound(1000, 1000, 500, 1e-5, 0.95) == 0.0
    assert epsilon_lower_bound(10, 0, 0, 1e-5, 0.95) == 0.0


def test_delta_and_confidence_lower_the_bound() -> None:
    plain = epsilon_lower_bound(10_000, 500, 460, 0.0, 0.95)
    assert epsilon_lower_bound(10_000, 500, 460, 1e-5, 0.95) < plain
    assert epsilon_lower_bound(10_000, 500, 460, 0.0, 0.999) < plain


def test_randomised_response_is_seldom_accused() -> None:
    """The mechanism for which the bound is tight: at 95 % it is exceeded in at most 5 % of audits."""
    epsilon, guesses, audits = 1.0, 300, 2000
    right = np.random.default_rng(5).binomial(guesses, 1 / (1 + math.exp(-epsilon)), audits)
    bounds = {int(v): epsilon_lower_bound(guesses, guesses, int(v), 0.0, 0.95) for v in np.unique(right)}
    share = np.mean([bounds[int(v)] > epsilon for v in right])
    assert 0.02 < share < 0.05 + 4 * math.sqrt(0.05 * 0.95 / audits)


@pytest.mark.parametrize(
    "arguments", [(10, 11, 5, 1.0, 0.0), (10, 5, 6, 1.0, 0.0), (10, 5, 5, -1.0, 0.0), (10, 5, 5, 1.0, 1.0)]
)
def test_impossible_numbers_are_refused(arguments: tuple[int, int, int, float, float]) -> None:
    with pytest.raises(ValueError, match="audit"):
        p_value(*arguments)


def test_a_confidence_is_a_probability() -> None:
    with pytest.raises(ValueError, match="confidence"):
        epsilon_lower_bound(10, 5, 5, 0.0, 1.0)
