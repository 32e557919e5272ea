import copy
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from privacy.randomness import SecureStream

# Tests of distributions draw fresh randomness each run: their limits are those of a false alarm in a million.
ALARM = 1e-6


def test_uniforms_are_uniform_with_53_bits() -> None:
    values = SecureStream().uniforms(200_000)
    assert values.dtype == np.float64
    assert 0 <= values.min() < 1e-3 < 0.999 < values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > ALARM
    np.testing.assert_array_equal(values * 2.0**53, np.floor(values * 2.0**53))
    assert len(set(values.tolist())) == values.size


def test_words_have_balanced_bits() -> None:
    words = SecureStream().words(50_000)
    assert (words.dtype, words.shape) == (np.dtype("<u8"), (50_000,))
    ones = np.array([np.count_nonzero((words >> np.uint64(bit)) & np.uint64(1)) for bit in range(64)])
    assert np.abs(ones / 50_000 - 0.5).max() < 6 * 0.5 / 50_000**0.5


def test_normals_are_standard_normal() -> None:
    values = SecureStream().normals(400_000)
    assert values.dtype == np.float64
    assert stats.kstest(values, "norm").pvalue > ALARM
    assert abs(values.mean()) < 5 / 400_000**0.5
    assert values.std() == pytest.approx(1, abs=5 / 800_000**0.5)
    assert abs(stats.skew(values)) < 5 * (6 / 400_000) ** 0.5
    assert abs(stats.kurtosis(values)) < 5 * (24 / 400_000) ** 0.5
    assert np.isfinite(values).all()


def test_normals_are_independent_of_each_other() -> None:
    values = SecureStream().normals(100_000)
    halves = values.reshape(2, -1)  # a Box-Muller pair is split over the halves
    for first, second in ((halves[0], halves[1]), (values[:-1], values[1:])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
        assert abs(np.corrcoef(first**2, second**2)[0, 1]) < 0.03


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_any_count_is_given(count: int) -> None:
    stream = SecureStream()
    assert stream.words(count).shape == (count,)
    assert stream.uniforms(count).shape == (count,)
    assert stream.normals(count).shape == (count,)
    assert stream.below(5, count).shape == (count,)


@given(st.integers(1, 2**62), st.integers(0, 50))
def test_integers_stay_below_their_bound(bound: int, count: int) -> None:
    values = SecureStream().below(bound, count)
    assert values.dtype == np.int64
    assert ((values >= 0) & (values < bound)).all()


@pytest.mark.parametrize("bound", [2, 3, 10, 257])
def test_small_integers_are_unbiased(bound: int) -> None:
    counts = np.bincount(SecureStream().below(bound, 40_000), minlength=bound)
    assert counts.size == bound
    assert stats.chisquare(counts).pvalue > ALARM


def test_large_integers_are_unbiased_where_a_modulo_would_not_be() -> None:
    bound = 3 * 2**60  # 2**64 mod bound is 2**62: without rejection the lower third would be drawn half as often again
    thirds = np.bincount(SecureStream().below(bound, 30_000) // 2**60, minlength=3)
    assert stats.chisquare(thirds).pvalue > ALARM


@pytest.mark.parametrize("bound", [0, -1, 2**62 + 1])
def test_an_impossible_bound_is_refused(bound: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        SecureStream().below(bound, 1)


def test_a_stream_cannot_be_copied_or_stored() -> None:
    stream = SecureStream()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="never copied"):
            attempt(stream)


def test_no_two_streams_and_no_two_draws_repeat() -> None:
    first, second = SecureStream(), SecureStream()
    drawn = [stream.words(100) for stream in (first, second, first, second)]
    assert len({int(word) for words in drawn for word in words}) == 400


def test_global_seeds_do_not_reach_it() -> None:
    drawn = []
    for _ in range(2):
        random.seed(1)
        np.random.seed(1)
        drawn.append(SecureStream().normals(50))
    assert (drawn[0] != drawn[1]).all()
