"""Every size is known in advance, and parameters whose sums would not be exact do not exist."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import StudyError
from privacy.he.params import NOISE_BOUND, PRIMES, SEED_BYTES, SMALL_RING_VALUES, CiphertextParams
from privacy.study import Encryption

LENGTHS = st.one_of(st.integers(1, 300_000), st.integers(300_000, 10_000_000))
SILOS = range(2, 65)


def small(silos: int) -> CiphertextParams:
    return CiphertextParams.for_study(Encryption(ring="small"), silos)


def large(silos: int) -> CiphertextParams:
    return CiphertextParams.for_study(Encryption(ring="large"), silos)


def worst_sum(params: CiphertextParams, fields: int) -> int:
    return sum(params.silos * 65535 * 2 ** (params.shift + params.field_bits * field) for field in range(fields))


@pytest.mark.parametrize("silos", SILOS)
@pytest.mark.parametrize("ring", [small, large])
def test_worst_sum_and_noise_stay_below_the_modulus_and_no_field_is_wasted(ring: "object", silos: int) -> None:
    params: CiphertextParams = ring(silos)  # type: ignore[operator]
    assert params.field_bits == 16 + math.ceil(math.log2(silos))
    assert 2 ** (params.shift - 1) > NOISE_BOUND * silos >= 2 ** (params.shift - 2)
    noise = 2 ** (params.shift - 1) + NOISE_BOUND * silos
    assert worst_sum(params, params.fields) + noise < params.modulus * (1 - 2**-32)
    assert worst_sum(params, params.fields + 1) + noise >= params.modulus
    assert params.values_per_ciphertext == params.degree * params.fields - params.empty


@pytest.mark.parametrize("silos", SILOS)
@pytest.mark.parametrize("ring", [small, large])
def test_a_uniform_ciphertext_leaves_the_empty_fields_zero_with_a_probability_below_one_in_2_to_the_40(
    ring: "object", silos: int
) -> None:
    params: CiphertextParams = ring(silos)  # type: ignore[operator]
    below_the_top_field = Fraction(2 ** (params.shift + params.field_bits * (params.fields - 1)), params.modulus)
    # Uniform modulo one prime only, the coefficient takes `prime` places that are Q / prime apart.
    apart = Fraction(1, min(params.primes))
    assert (below_the_top_field + apart) ** params.empty < Fraction(1, 2**40)
    assert 1 <= params.empty <= 3


@pytest.mark.parametrize(
    ("silos", "prime_bits", "fields"),
    [(2, 48, 2), (3, 48, 2), (8, 48, 2), (9, 50, 2), (16, 50, 2), (17, 48, 1), (64, 48, 1)],
)
def test_primes_and_fields_of_the_small_ring(silos: int, prime_bits: int, fields: int) -> None:
    assert (small(silos).prime_bits, small(silos).fields, small(silos).degree) == (prime_bits, fields, 4096)


@pytest.mark.parametrize(
    ("silos", "fields", "ratio"),
    [(2, 11, 0.59), (3, 10, 0.63), (8, 10, 0.63), (16, 9, 0.7), (32, 9, 0.7), (64, 8, 0.79)],
)
def test_fields_and_size_of_the_large_ring(silos: int, fields: int, ratio: float) -> None:
    params = large(silos)
    assert (params.primes, params.fields, params.degree) == (PRIMES[16384, 50], fields, 16384)
    assert params.ciphertext_bytes == 25 * 16384
    assert params.upload_bytes(7_033_403) <= ratio * 4 * 7_033_403


@pytest.mark.parametrize("silos", [1, 65])
def test_no_parameters_for_other_numbers_of_silos(silos: int) -> None:
    for ring in (small, large):
        with pytest.raises(StudyError, match="2 to 64") as caught:
            ring(silos)
        assert caught.value.code == "study.encryption_overflow"


@pytest.mark.parametrize(
    ("degree", "primes", "bits", "silos"),
    [
        (4096, (281474976694273,), 17, 3),
        (8, (281474976694273,), 1, 2),
        (4096, (281474976694273,), 16, 1),
        (4096, (281474976694273,), 16, 65),
        (4095, (281474976694273,), 16, 3),
        (4096, (), 16, 3),
        (4096, (1125899906826241,) * 5, 16, 3),
        (4096, (288230376151130113,), 16, 3),
        (4096, (281474976694273, 1125899906826241), 16, 3),
    ],
)
def test_other_parameters_are_refused(degree: int, primes: tuple[int, ...], bits: int, silos: int) -> None:
    with pytest.raises(ValueError, match=r"prime|range|too small"):
        CiphertextParams(degree, primes, bits, silos)


@pytest.mark.parametrize("length", [1, SMALL_RING_VALUES, SMALL_RING_VALUES + 1, 7_033_403])
def test_the_ring_follows_from_the_length_and_the_other_one_is_refused(length: int) -> None:
    suited, other = (small(3), large(3)) if length <= SMALL_RING_VALUES else (large(3), small(3))
    assert CiphertextParams.choose(3, length) == suited
    suited.check_length(length)
    with pytest.raises(StudyError, match="small" if suited.degree == 4096 else "large") as caught:
        other.check_length(length)
    assert caught.value.code == "study.ring"


@given(LENGTHS, st.sampled_from([3, 8, 16, 32]))
def test_an_upload_is_about_as_small_as_it_can_be(length: int, silos: int) -> None:
    params = CiphertextParams.choose(silos, length)
    densest = params.ciphertext_bytes / params.values_per_ciphertext
    assert params.upload_bytes(length) <= densest * 1.01 * length + params.ciphertext_bytes + SEED_BYTES
    assert densest <= 3.2 or (silos > 16 and densest <= 6.01)


@given(LENGTHS, st.sampled_from([3, 16, 64]))
def test_frames_are_whole_ciphertexts_of_about_a_mebibyte(length: int, silos: int) -> None:
    params = CiphertextParams.choose(silos, length)
    counts = params.frame_ciphertexts(length)
    assert len(counts) == params.frame_count(length) == len(params.frame_sizes(length))
    assert sum(counts) == params.ciphertexts(length) == math.ceil(length / params.values_per_ciphertext)
    assert set(counts[:-1]) <= {params.ciphertexts_per_frame}
    assert 0 < counts[-1] <= params.ciphertexts_per_frame
    assert max(params.frame_sizes(length)) <= 2**20
    assert 2**20 - params.ciphertexts_per_frame * params.ciphertext_bytes < params.ciphertext_bytes


def test_a_vector_has_a_value() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        small(3).frame_sizes(0)


def test_digest_names_every_number() -> None:
    digests = {ring(silos).digest() for silos in SILOS for ring in (small, large)}
    assert len(digests) == 2 * len(SILOS)
    assert CiphertextParams(4096, PRIMES[4096, 50], 16, 3).digest() not in digests
    assert small(3).digest() == small(3).digest()
    assert len(small(3).digest()) == 32
