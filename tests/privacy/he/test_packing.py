"""Packing is exact against big-integer arithmetic, noise included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.he import packing
from privacy.he.params import NOISE_BOUND, PRIMES, CiphertextParams


def params_for(silos: int) -> CiphertextParams:
    return CiphertextParams(4096, PRIMES[4096, 48 if silos <= 8 else 50], 16, silos)


@given(st.integers(2, 16), st.integers(1, 20_000), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_sums_with_the_worst_noise_unpack_exactly(silos: int, length: int, seed: int) -> None:
    params, generator = params_for(silos), np.random.default_rng(seed)
    vectors = [generator.integers(0, 2**16, length, dtype=np.uint16) for _ in range(silos)]
    for vector in vectors:
        vector[:2] = 65535
        vector[-1:] = 0
    modulus = np.uint64(params.modulus)
    total = sum((packing.pack(vector, params) for vector in vectors), np.zeros((1,), np.uint64)) % modulus
    noise = generator.choice([-NOISE_BOUND * silos, 0, NOISE_BOUND * silos], total.shape)
    noisy = np.where(noise < 0, total + modulus - (-noise).astype(np.uint64), total + noise.astype(np.uint64)) % modulus
    opened = packing.unpack(noisy.astype(np.uint64), params)
    assert np.array_equal(opened[:length], np.sum(vectors, axis=0, dtype=np.int64))
    assert not opened[length:].any()


def test_a_coefficient_by_hand() -> None:
    params = params_for(3)
    values = np.zeros(8192, np.uint16)
    values[5], values[4096 + 5] = 7, 9
    coefficients = packing.pack(values, params)
    assert coefficients.shape == (1, 1, 4096)
    assert int(coefficients[0, 0, 5]) == 7 * 2**params.shift + 9 * 2 ** (params.shift + params.field_bits)
    assert np.count_nonzero(coefficients) == 1


@pytest.mark.parametrize("silos", [2, 8, 16])
def test_what_lies_above_the_top_field_is_not_lost(silos: int) -> None:
    params = params_for(silos)
    phase = np.full((1, 1, 4096), params.modulus - 2**params.shift, np.uint64)
    assert packing.unpack(phase, params).max() > params.largest_sum
