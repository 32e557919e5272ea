"""Rounding is unbiased, saturation is counted, and a sum decodes to within a step a silo."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.randomness import SecureStream
from privacy.secagg.quantise import BLOCK, Quantiser

STREAM = SecureStream()


def one(limit: float, size: int, bits: int = 16) -> Quantiser:
    """For a single tensor."""
    return Quantiser((limit,), (size,), bits)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_expectation_is_the_value(fraction: float) -> None:
    limits, bits, trials = (1.0, 2.0**-10), 8, 200_000
    values = np.concatenate([np.full(trials, (37 + fraction) * 2 * limit / 255 - limit) for limit in limits])
    encoded, saturated = Quantiser(limits, (trials, trials), bits).encode(values, STREAM)
    assert saturated.tolist() == [0, 0]
    assert set(encoded.tolist()) <= {37, 38}
    # Five deviations of the mean of Bernoulli(fraction).
    tolerance = 5 * math.sqrt(max(fraction * (1 - fraction), 1e-12) / trials)
    for tensor in np.split(encoded, 2):
        assert abs(tensor.mean() - 37 - fraction) <= tolerance


def test_sums_over_silos_are_unbiased_for_real_updates() -> None:
    limits = np.array([0.5, 0.5 / 1000])
    vector = np.random.default_rng(0).normal(0, limits.repeat(1_000) / 10)
    quantiser, repeats = Quantiser(limits.tolist(), (1_000, 1_000), 16), 64
    total = sum(quantiser.encode(vector, STREAM)[0].astype(np.int64) for _ in range(repeats))
    error = quantiser.decode_sum(np.asarray(total), repeats) / repeats - vector
    steps = error / (2 * limits.repeat(1_000) / 65535)
    assert np.abs(steps).max() < 6 / 2 / math.sqrt(repeats)
    for tensor in np.split(steps, 2):
        assert abs(tensor.mean()) < 5 / 2 / math.sqrt(repeats * tensor.size)


def test_the_edges_and_the_middle() -> None:
    quantiser = one(2.0, 4)
    encoded, saturated = quantiser.encode(np.array([-2.0, 2.0, np.nextafter(2.0, 0), -np.nextafter(2.0, 0)]), STREAM)
    assert encoded[0] == 0
    assert encoded[1] == 65535
    assert encoded[2] in (65534, 65535)
    assert encoded[3] in (0, 1)
    assert saturated.tolist() == [0]
    middle, _ = one(2.0, 1000).encode(np.zeros(1000), STREAM)
    assert set(middle.tolist()) == {32767, 32768}


def test_saturation_moves_to_the_edge_and_is_counted_by_tensor() -> None:
    values = np.array([5.0, -1e300, 1.0, np.nextafter(1.0, 2), 0.0, 1.0, -0.5])
    encoded, saturated = Quantiser((1.0, 0.5), (5, 2), 16).encode(values, STREAM)
    assert encoded[[0, 1, 2, 3, 5, 6]].tolist() == [65535, 0, 65535, 65535, 65535, 0]
    assert saturated.tolist() == [3, 1]


@given(st.integers(2, 16), st.integers(1, 16), st.floats(1e-6, 1e6), st.integers(0, 2**32))
def test_a_sum_decodes_to_within_a_step_a_silo(bits: int, silos: int, limit: float, seed: int) -> None:
    generator, quantiser = np.random.default_rng(seed), one(limit, 50, bits)
    vectors = [generator.uniform(-limit, limit, 50) for _ in range(silos)]
    sums = np.sum([quantiser.encode(vector, STREAM)[0] for vector in vectors], axis=0, dtype=np.int64)
    step = 2 * limit / (2**bits - 1)
    assert np.abs(quantiser.decode_sum(sums, silos) - np.sum(vectors, axis=0)).max() <= silos * step * (1 + 1e-9)


def test_each_tensor_has_its_own_limit() -> None:
    quantiser = Quantiser((1.0, 7.0, 100.0), (1, 0, 2), 16)
    encoded, saturated = quantiser.encode(np.array([1.0, -100.0, 100.0]), STREAM)
    assert encoded.tolist() == [65535, 0, 65535]
    assert saturated.tolist() == [0, 0, 0]
    assert quantiser.decode_sum(np.array([65535, 0, 65535]), 1).tolist() == [1.0, -100.0, 100.0]
    for wrong in (np.zeros(2), np.zeros(4), np.zeros((1, 3))):
        with pytest.raises(ValueError, match="all values of all tensors"):
            quantiser.encode(wrong, STREAM)
    with pytest.raises(ValueError, match="one limit"):
        Quantiser((1.0,), (1, 2), 16)


def test_tensors_longer_than_a_block() -> None:
    sizes = (2 * BLOCK + 3, BLOCK, 5)
    limits = np.array([1.0, 0.01, 4.0]).repeat(sizes)
    vector = np.linspace(-1, 1, sum(sizes)) * limits
    vector[[2 * BLOCK + 1, 3 * BLOCK + 2]] = 9.0, -9.0
    quantiser = Quantiser((1.0, 0.01, 4.0), sizes, 16)
    encoded, saturated = quantiser.encode(vector, STREAM)
    assert saturated.tolist() == [1, 1, 0]
    error = quantiser.decode_sum(encoded.astype(np.int64), 1) - np.clip(vector, -limits, limits)
    assert (np.abs(error) / limits).max() <= 2 / 65535 * (1 + 1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_misuse(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        one(1.0, 2).encode(np.array([0.0, bad]), STREAM)
    with pytest.raises(ValueError, match="finite"):
        one(bad, 1)


def test_limits_and_bits_are_checked() -> None:
    for limit, bits in ((0.0, 16), (-1.0, 16), (1.0, 1), (1.0, 17)):
        with pytest.raises(ValueError, match="must be"):
            one(limit, 1, bits)


def test_sums_out_of_range_are_misuse() -> None:
    for sums, count in (([-1], 1), ([65536], 1), ([131071], 2), ([0], 0)):
        with pytest.raises(ValueError, match="not sums"):
            one(1.0, 1).decode_sum(np.array(sums), count)
