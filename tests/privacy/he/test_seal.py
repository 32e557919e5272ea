"""What SEAL writes is what the layout says; anything else is refused with one typed error."""

import os

import numpy as np
import pytest
import tenseal.sealapi as sealapi

from privacy.errors import ConfigError
from privacy.he import ring as ring_module
from privacy.he import seal
from privacy.he.params import PRIMES, CiphertextParams
from privacy.he.ring import Ring

PARAMS = CiphertextParams(4096, PRIMES[4096, 48], 16, 3)


class Altered:
    """A SEAL object whose file another version of SEAL might write."""

    def __init__(self, saved: bytes) -> None:
        self.saved = saved

    def save(self, path: str, /) -> None:
        with open(path, "wb") as file:  # noqa: PTH123 - as SEAL does
            file.write(self.saved)


@pytest.fixture(scope="module")
def ring() -> Ring:
    return Ring(PARAMS)


@pytest.fixture(scope="module")
def encryptor(ring: Ring) -> "sealapi.Encryptor":
    return sealapi.Encryptor(ring.context, ring.secret_key(ring.generate_secret()))


def saved(thing: object) -> bytes:
    file = os.memfd_create("test")
    thing.save(f"/proc/self/fd/{file}")  # type: ignore[attr-defined]
    content = os.pread(file, os.fstat(file).st_size, 0)
    os.close(file)
    return content


def test_words_equal_those_that_seal_shows_one_by_one(ring: Ring, encryptor: "sealapi.Encryptor") -> None:
    ciphertext = sealapi.Ciphertext()
    encryptor.encrypt_zero_symmetric(ciphertext)
    words = ring.files.read_ciphertext(ciphertext, 2, ntt=True)
    assert [int(word) for word in words.reshape(-1)[:5]] == [ciphertext[index] for index in range(5)]
    assert int(words[1, 0, 17]) == ciphertext[4096 + 17]
    again = sealapi.Ciphertext()
    ring.files.write_ciphertext(again, words, ntt=True)
    assert np.array_equal(ring.files.read_ciphertext(again, 2, ntt=True), words)


def test_a_seed_stands_for_the_second_polynomial(ring: Ring, encryptor: "sealapi.Encryptor") -> None:
    words, seed = ring.files.read_seeded(encryptor.encrypt_zero_symmetric())
    whole = sealapi.Ciphertext()
    ring.files.write_seeded(whole, words, seed)
    assert np.array_equal(ring.files.read_ciphertext(whole, 2, ntt=True), np.stack([words, ring.expand(seed)]))


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, 0x5F), (2, 17), (3, 5), (4, 4), (5, 1), (5, 7), (8, 0), (40, 0)],
    ids=["magic", "header size", "major", "minor", "zlib", "unknown compression", "length", "compressed body"],
)
def test_an_altered_file_is_refused(ring: Ring, encryptor: "sealapi.Encryptor", position: int, value: int) -> None:
    content = bytearray(saved(encryptor.encrypt_zero_symmetric()))
    content[position] = value if content[position] != value else value ^ 1
    with pytest.raises(ConfigError) as caught:
        ring.files.read_seeded(Altered(bytes(content)))
    assert caught.value.code == "he.seal_layout"


@pytest.mark.parametrize("position", [0, 31, 32, 33, 41, 49, 57, 65, 73, 89, -65, -70])
def test_an_altered_layout_is_refused(ring: Ring, encryptor: "sealapi.Encryptor", position: int) -> None:
    content = saved(encryptor.encrypt_zero_symmetric())
    body = bytearray(seal.zstandard.ZstdDecompressor().decompress(content[16:], max_output_size=1 << 20))
    body[position] ^= 0x40
    with pytest.raises(ConfigError) as caught:
        ring.files.read_seeded(Altered(seal.header(16 + len(body)) + bytes(body)))
    assert caught.value.code == "he.seal_layout"


@pytest.mark.parametrize("cut", [0, 15, 16, 1000])
def test_a_short_file_is_refused(ring: Ring, encryptor: "sealapi.Encryptor", cut: int) -> None:
    with pytest.raises(ConfigError):
        ring.files.read_seeded(Altered(saved(encryptor.encrypt_zero_symmetric())[:cut]))


def test_another_object_is_refused(ring: Ring, encryptor: "sealapi.Encryptor") -> None:
    with pytest.raises(ConfigError):
        ring.files.read_plaintext(encryptor.encrypt_zero_symmetric())


@pytest.mark.parametrize("bits", [48, 50])
def test_vectors_of_the_seed_expansion(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    params = CiphertextParams(4096, PRIMES[4096, bits], 16, 3)
    Ring(params)
    monkeypatch.setitem(ring_module.VECTORS, params.modulus, "00" * 32)
    with pytest.raises(ConfigError, match="expands seeds"):
        Ring(params)


def test_another_prime_than_seals_is_refused() -> None:
    with pytest.raises(ConfigError, match="chooses other primes"):
        Ring(CiphertextParams(4096, (281474976546817,), 16, 3))


def test_a_ring_below_the_security_level_is_refused() -> None:
    degree, prime = 2048, sealapi.CoeffModulus.Create(2048, [48])[0].value()
    with pytest.raises(ConfigError, match="256-bit security level"):
        Ring(CiphertextParams(degree, (prime,), 16, 3))


@pytest.mark.parametrize("count", [1, 2, 15, 16, 31])
def test_transforms_are_inverse_and_take_zeros(ring: Ring, count: int) -> None:
    generator = np.random.default_rng(count)
    words = generator.integers(0, PARAMS.modulus, (count, 1, 4096), dtype=np.uint64)
    words[0] = 0
    assert np.array_equal(ring.from_ntt(ring.to_ntt(words)), words)
    assert not ring.to_ntt(words)[0].any()


def test_memory_files_are_closed() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    for _ in range(5):
        Ring(PARAMS)
    assert count() <= before + 1
