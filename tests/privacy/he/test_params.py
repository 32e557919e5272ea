"""Every size is known in advance, and parameters whose sums would not be exact do not exist."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import StudyError
from privacy.he.params import NOISE_BOUND, PRIMES, SEED_BYTES, CiphertextParams
from privacy.study import Encryption

LENGTHS = st.one_of(st.integers(1, 200_000), st.integers(200_000, 10_000_000))


def for_silos(silos: int, prime_bits: int | None = None) -> CiphertextParams:
    bits = prime_bits or (48 if silos <= 8 else 50)
    return CiphertextParams.for_study(Encryption(prime_bits=bits), silos)  # type: ignore[arg-type]


@pytest.mark.parametrize("silos", range(2, 17))
def test_worst_sum_and_noise_stay_below_the_modulus(silos: int) -> None:
    params = for_silos(silos)
    assert params.field_bits == 16 + math.ceil(math.log2(silos))
    assert 2 ** (params.shift - 1) > NOISE_BOUND * silos >= 2 ** (params.shift - 2)
    worst = sum(silos * 65535 * 2 ** (params.shift + params.field_bits * field) for field in range(params.fields))
    assert worst + 2 ** (params.shift - 1) + NOISE_BOUND * silos < params.modulus
    assert params.values_per_ciphertext == 8192


@pytest.mark.parametrize("silos", range(9, 17))
def test_48_bits_carry_no_more_than_8_silos(silos: int) -> None:
    with pytest.raises(StudyError, match="prime_bits to 50") as caught:
        for_silos(silos, 48)
    assert caught.value.code == "study.encryption_overflow"


def test_17_silos_do_not_fit_50_bits() -> None:
    with pytest.raises(ValueError, match="does not fit the modulus"):
        CiphertextParams(4096, PRIMES[4096, 50], 16, 17)


@pytest.mark.parametrize(
    ("degree", "primes", "bits", "silos"),
    [
        (4096, (281474976694273,), 17, 3),
        (4096, (281474976694273,), 16, 1),
        (4095, (281474976694273,), 16, 3),
        (4096, (), 16, 3),
        (4096, (288230376151130113,), 16, 3),
        (4096, (281474976694273, 1125899906826241), 16, 3),
    ],
)
def test_other_parameters_are_refused(degree: int, primes: tuple[int, ...], bits: int, silos: int) -> None:
    with pytest.raises(ValueError, match=r"prime|range"):
        CiphertextParams(degree, primes, bits, silos)


@given(LENGTHS, st.sampled_from([3, 16]))
def test_an_upload_is_no_larger_than_the_fp32_update(length: int, silos: int) -> None:
    params = for_silos(silos)
    allowance = 0 if length >= 50_000 else params.ciphertext_bytes + SEED_BYTES
    assert params.upload_bytes(length) <= 4 * length + allowance


@given(LENGTHS, st.sampled_from([3, 16]))
def test_frames_are_whole_ciphertexts_of_about_a_mebibyte(length: int, silos: int) -> None:
    params = for_silos(silos)
    counts = params.frame_ciphertexts(length)
    assert len(counts) == params.frame_count(length) == len(params.frame_sizes(length))
    assert sum(counts) == params.ciphertexts(length) == math.ceil(length / 8192)
    assert set(counts[:-1]) <= {params.ciphertexts_per_frame}
    assert 0 < counts[-1] <= params.ciphertexts_per_frame
    assert max(params.frame_sizes(length)) <= 2**20
    assert 2**20 - params.ciphertexts_per_frame * params.ciphertext_bytes < params.ciphertext_bytes


def test_a_vector_has_a_value() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        for_silos(3).frame_sizes(0)


def test_digest_names_every_number() -> None:
    digests = {for_silos(silos, bits).digest() for silos in range(2, 9) for bits in (48, 50)}
    assert len(digests) == 14
    assert for_silos(3).digest() == for_silos(3).digest()
    assert len(for_silos(3).digest()) == 32
