"""What SEAL writes is what the layout says; anything else is refused with one typed error."""

import os

import numpy as np
import pytest
import tenseal.sealapi as sealapi

from privacy.errors import ConfigError
from privacy.he import ring as ring_module
from privacy.he import seal
from privacy.he.params import NOISE_BOUND, PRIMES, CiphertextParams
from privacy.he.ring import Ring

PARAMS = CiphertextParams(4096, PRIMES[4096, 48], 16, 3)
LARGE = CiphertextParams(16384, PRIMES[16384, 50], 16, 3)


class Altered:
    """A SEAL object whose file another version of SEAL might write."""

    def __init__(self, saved: bytes) -> None:
        self.saved = saved

    def save(self, path: str, /) -> None:
        with open(path, "wb") as file:  # noqa: PTH123 - as SEAL does
            file.write(self.saved)


@pytest.fixture(scope="module", params=[PARAMS, LARGE], ids=["small", "large"])
def ring(request: pytest.FixtureRequest) -> Ring:
    return Ring(request.param)


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
    assert int(words[1, 0, 17]) == ciphertext[words[0].size + 17]
    assert int(words[-1, -1, -1]) == ciphertext[words.size - 1]
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
    [(0, 0x5F), (2, 17), (3, 5), (4, 4), (5, 1), (5, 7), (8, 0), (16, 0)],
    ids=["magic", "header size", "major", "minor", "zlib", "unknown compression", "length", "compressed"],
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
    body = bytearray(seal.zstandard.ZstdDecompressor().decompress(content[16:], max_output_size=1 << 22))
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


@pytest.mark.parametrize(("degree", "bits"), PRIMES)
def test_vectors_of_the_seed_expansion(degree: int, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    params = CiphertextParams(degree, PRIMES[degree, bits], 16, 3)
    Ring(params)
    for prime in params.primes:
        with monkeypatch.context() as patch:
            patch.setitem(ring_module.VECTORS, prime, "00" * 32)
            with pytest.raises(ConfigError, match="expands seeds"):
                Ring(params)


def test_a_seed_alone_gives_what_it_gives_beside_words(ring: Ring) -> None:
    """`write_seed` and `write_seeded` are one way to a ciphertext; seeds in turn do not mix."""
    zero = np.zeros((len(ring.params.primes), ring.params.degree), np.uint64)
    for seed in (bytes(range(64)), bytes(64), b"\xff" * 64, bytes(range(64))):
        short, long = sealapi.Ciphertext(), sealapi.Ciphertext()
        ring.files.write_seed(short, seed)
        ring.files.write_seeded(long, zero, seed)
        read = [ring.files.read_ciphertext(ciphertext, 2, ntt=True) for ciphertext in (short, long)]
        assert np.array_equal(*read)
        assert not read[0][0].any()
    with pytest.raises(ValueError, match="not written"):
        ring.files.write_seed(sealapi.Ciphertext(), bytes(63))


def test_a_secret_key_of_ours_is_that_of_seal(ring: Ring) -> None:
    """Modulo the data primes, and it decrypts alike; the special prime's words are never read."""
    generated = sealapi.KeyGenerator(ring.context).secret_key()
    own = ring.secret_key(ring._ternary(generated))
    assert np.array_equal(ring.files.read_secret_key(own), ring.files.read_secret_key(generated))
    ciphertext = sealapi.Encryptor(ring.context, own).encrypt_zero_symmetric()
    words, seed = ring.files.read_seeded(ciphertext)
    phases = []
    for key in (own, generated):
        whole, plaintext = sealapi.Ciphertext(), sealapi.Plaintext()
        ring.files.write_seeded(whole, words, seed)
        sealapi.Decryptor(ring.context, key).decrypt(whole, plaintext)
        phases.append(ring.from_ntt(ring.files.read_plaintext(plaintext)[None])[0])
    assert np.array_equal(*phases)
    # What is left is the noise, small and the same modulo every prime.
    signed = [
        np.where(row < 100, row, row - np.uint64(prime)).view(np.int64)
        for row, prime in zip(phases[0], ring.params.primes, strict=True)
    ]
    assert all(np.array_equal(row, signed[0]) for row in signed)
    assert np.abs(signed[0]).max() <= NOISE_BOUND


def test_the_special_prime_is_the_only_difference_to_the_security_level() -> None:
    for params, bits in ((PARAMS, 48), (LARGE, 217)):
        parameters = Ring(params).context.key_context_data().parms()
        assert sum(prime.bit_count() for prime in parameters.coeff_modulus()) == bits


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
    shape = (count, len(ring.params.primes), ring.params.degree)
    words = generator.integers(0, min(ring.params.primes), shape, dtype=np.uint64)
    words[0] = 0
    assert np.array_equal(ring.from_ntt(ring.to_ntt(words)), words)
    assert not ring.to_ntt(words)[0].any()


def test_memory_files_are_closed() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    for _ in range(5):
        Ring(PARAMS)
    assert count() <= before + 2
