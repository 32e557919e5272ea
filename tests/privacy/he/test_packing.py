"""Packing is exact against big-integer arithmetic, at every number of silos, noise included."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.he import packing
from privacy.he.packing import Packing
from privacy.he.params import NOISE_BOUND, CiphertextParams

RINGS = {"small": 1_000, "large": 1_000_000}


@functools.cache
def packer(silos: int, ring: str) -> Packing:
    return Packing(CiphertextParams.choose(silos, RINGS[ring]))


def residues(numbers: list[int], params: CiphertextParams) -> np.ndarray:
    """Integers, one a coefficient, as (1, primes, degree) residues; what is not given is zero."""
    padded = numbers + [0] * (params.degree - len(numbers))
    return np.array([[[number % prime for number in padded] for prime in params.primes]], np.uint64)


def lift(words: np.ndarray, params: CiphertextParams) -> list[int]:
    """The inverse, by the textbook's Chinese remainder theorem in Python's integers."""
    total = [0] * words.shape[-1]
    for row, prime in zip(words.tolist(), params.primes, strict=True):
        rest = params.modulus // prime
        factor = rest * pow(rest, -1, prime)
        total = [have + word * factor for have, word in zip(total, row, strict=True)]
    return [number % params.modulus for number in total]


def shifted(words: np.ndarray, noise: int, params: CiphertextParams) -> np.ndarray:
    """Residues of integers with `noise` added."""
    moduli = np.array(params.primes, np.uint64)[:, None]
    result: np.ndarray = (words + np.array([noise % prime for prime in params.primes], np.uint64)[:, None]) % moduli
    return result


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("silos", range(2, 65))
def test_extremes_at_every_number_of_silos(silos: int, ring: str) -> None:
    """All zero, all maximum, one value alone in each field: with no noise and the worst of either sign."""
    pack = packer(silos, ring)
    params = pack.params
    alone = np.zeros(params.values_per_ciphertext, np.uint16)
    for field in range(params.fields):
        alone[field * params.degree + field] = 65535
    moduli = np.array(params.primes, np.uint64)[:, None]
    for values in (np.zeros_like(alone), np.full_like(alone, 65535), alone):
        total = pack.pack(values) * np.uint64(silos) % moduli
        for noise in (0, 1, -1, NOISE_BOUND * silos, -NOISE_BOUND * silos):
            (opened,) = pack.unpack(shifted(total, noise, params))
            assert np.array_equal(opened[: values.size], values.astype(np.int64) * silos)
            assert opened.size == values.size + params.empty
            assert not opened[values.size :].any()


@given(st.integers(2, 64), st.sampled_from(sorted(RINGS)), st.data())
@settings(max_examples=30)
def test_sums_unpack_exactly(silos: int, ring: str, data: st.DataObject) -> None:
    pack = packer(silos, ring)
    params, per = pack.params, pack.params.values_per_ciphertext
    length = data.draw(st.integers(1, 2 * per))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    vectors = [generator.integers(0, 2**16, length, dtype=np.uint16) for _ in range(min(silos, 3))]
    moduli = np.array(params.primes, np.uint64)[:, None]
    total = np.sum([pack.pack(vector) for vector in vectors], axis=0, dtype=np.uint64) % moduli
    noise = data.draw(st.integers(-NOISE_BOUND * silos, NOISE_BOUND * silos))
    opened = pack.unpack(shifted(total, noise, params))
    values, empty = opened[:, :per].reshape(-1), opened[:, per:]
    assert np.array_equal(values[:length], np.sum(vectors, axis=0, dtype=np.int64))
    assert not values[length:].any()
    assert not empty.any()


@given(st.integers(2, 64), st.sampled_from(sorted(RINGS)), st.integers(0, 2**32))
@settings(max_examples=10)
def test_residues_are_those_of_the_definition(silos: int, ring: str, seed: int) -> None:
    pack = packer(silos, ring)
    params = pack.params
    values = np.random.default_rng(seed).integers(0, 2**16, params.values_per_ciphertext, dtype=np.uint16)
    words = pack.pack(values)
    assert words.shape == (1, len(params.primes), params.degree)
    padded = np.concatenate([values, np.zeros(params.empty, np.uint16)])
    by_field = padded.reshape(params.fields, params.degree).astype(object)
    expected = sum(by_field[f] * 2 ** (params.shift + params.field_bits * f) for f in range(params.fields))
    assert lift(words[0][:, :300], params) == expected[:300].tolist()


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("silos", [2, 3, 8, 16, 32, 64])
def test_phases_at_the_edges_of_the_bound(silos: int, ring: str) -> None:
    """Every carry, and the least and the largest phase that can come up, against Python's integers."""
    pack = packer(silos, ring)
    params, half = pack.params, 1 << (pack.params.shift - 1)
    largest = sum(params.largest_sum << (params.shift + params.field_bits * f) for f in range(params.fields))
    edges = [0, half - 1, -half, largest, largest + half - 1, largest - half]
    ones = [1 << bit for bit in range(params.shift, largest.bit_length() - 1)]
    numbers = edges + [one + delta for one in ones for delta in (-1, 0, 1)]
    opened = pack.unpack(residues(numbers, params)).reshape(params.fields, params.degree)
    for column, number in enumerate(numbers):
        value, fields = (number + half) >> params.shift, []
        for _ in range(params.fields - 1):
            fields.append(value % (1 << params.field_bits))
            value >>= params.field_bits
        assert opened[:, column].tolist() == [*fields, value]


def test_a_coefficient_by_hand() -> None:
    pack = packer(3, "small")
    params = pack.params
    values = np.zeros(params.values_per_ciphertext, np.uint16)
    values[5], values[4096 + 5] = 7, 9
    coefficients = pack.pack(values)
    assert coefficients.shape == (1, 1, 4096)
    assert int(coefficients[0, 0, 5]) == 7 * 2**params.shift + 9 * 2 ** (params.shift + params.field_bits)
    assert np.count_nonzero(coefficients) == 1


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("silos", [2, 3, 8, 16, 32, 64])
def test_what_lies_above_the_top_field_is_not_lost(silos: int, ring: str) -> None:
    """Phases between the largest honest one and Q, up to Q - 1, show themselves out of bounds."""
    pack = packer(silos, ring)
    params = pack.params
    top = params.shift + params.field_bits * (params.fields - 1)
    above = (params.largest_sum + 1) << top
    step = (params.modulus - above) // 1000
    half = 1 << (params.shift - 1)
    phases = [above + step * index for index in range(1000)] + [params.modulus - half - 1, params.modulus - 2 * half]
    opened = pack.unpack(residues(phases, params)).reshape(params.fields, params.degree)[:, : len(phases)]
    out = (opened < 0) | (opened > params.largest_sum)
    assert out.any(axis=0).all()


def test_the_bounds_of_the_module_hold_for_all_parameters() -> None:
    """The sums of absolute terms that the module's first lines add up, for the numbers actually used."""
    for silos in range(2, 65):
        for ring in RINGS:
            pack = packer(silos, ring)
            params = pack.params
            assert (np.abs(pack._weights) * 65535).sum(axis=1).max() < 2**45
            count = len(params.primes)
            parts = np.array([2.0**26] * count + [2.0**25] * count + [8.0])
            assert (np.abs(pack._recombine) @ parts).max() < 2**53
            assert params.field_bits <= packing.LIMB
            worst = params.largest_sum * sum(1 << (params.field_bits * f) for f in range(params.fields)) << params.shift
            assert 1 - worst / params.modulus > 2**-32
            assert math.prod(params.primes).bit_length() + 2 <= packing.LIMB * pack._limbs


def test_parameters_outside_the_proof_are_refused() -> None:
    with pytest.raises(ValueError, match="not proven"):
        Packing(CiphertextParams(16384, CiphertextParams.choose(3, 10**6).primes, 4, 3))
