"""The keyholder: a silo's side of the ciphertexts. Encrypts a vector of integers, opens a sum of them.

Every silo of a study holds the same secret (it must, to read the sum), so this alone does not hide an update
from a silo that colludes with the aggregator; masks do that. Opening answers with the sum or with one error: a
keyholder that told a peer *how* a sum was wrong would answer questions about the secret. Whether a sum may be opened
at all is decided before (survivors, digests, MAC). Not for the aggregator: it cannot import this.

Both ways go frame by frame in *words* (ciphertexts, primes, degree), before the wire form, so that masks can be
added and taken off; `protect` and `open` are the whole way without masks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tenseal.sealapi as sealapi
from numpy.typing import NDArray

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.packing import Packing
from privacy.he.params import SEED_BYTES, CiphertextParams
from privacy.he.ring import Ring
from privacy.he.workers import in_order

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Ciphertext:
    """An upload: frames of packed words in order, and 64 bytes of seed for each ciphertext in order."""

    frames: tuple[bytes, ...]
    seeds: bytes


class KeyHolder:
    """The secret of a study's key epoch and what it is for. One thread at a time; its forks may use it too.

    Made by `generate` (the steward) or `from_secret` (every other silo). Its `repr` shows no secret.
    """

    def __init__(self, ring: Ring, coefficients: NDArray[np.int8]) -> None:
        self.params = ring.params
        self._ring = ring
        self._packing = Packing(ring.params)
        self._coefficients = coefficients
        key = ring.secret_key(coefficients)
        self._encryptor = sealapi.Encryptor(ring.context, key)
        self._decryptor = sealapi.Decryptor(ring.context, key)
        self._moduli = frames.moduli(ring.params)

    @classmethod
    def generate(cls, params: CiphertextParams) -> "KeyHolder":
        """A fresh secret, from SEAL's key generator.

        Raises:
            ConfigError: the installed SEAL fails its self-check.
        """
        ring = Ring(params)
        return cls(ring, ring.generate_secret())

    @classmethod
    def from_secret(cls, params: CiphertextParams, secret: bytes) -> "KeyHolder":
        """The keyholder of a secret that another one's `secret()` gave.

        Raises:
            ProtocolError: `protocol.key_malformed`: not the secret of such a ring.
            ConfigError: the installed SEAL fails its self-check.
        """
        coefficients = np.frombuffer(secret, np.int8)
        ternary = len(secret) == params.degree and not (set(secret) - {0x00, 0x01, 0xFF})
        # A uniform ternary secret has about 2N/3 coefficients that are not zero; below N/2 it is an erased buffer.
        if not ternary or int(np.count_nonzero(coefficients)) < params.degree // 2:
            raise ProtocolError(
                "the study key that was handed over is not a key of this study's ring; ask the steward for a new grant",
                code="protocol.key_malformed",
            )
        return cls(Ring(params), coefficients)

    def secret(self) -> bytes:
        """The secret's coefficients in {-1, 0, 1}, one signed byte each (degree bytes). To be sealed, never shown."""
        return self._coefficients.tobytes()

    def encrypt(self, values: NDArray[np.uint16], zeros: Sequence[NDArray[np.uint8]] = ()) -> "Encryption":
        """Encrypt values, shape (length,), padded with zeros to whole ciphertexts, under fresh randomness.

        Nothing is computed before a frame is asked for. `zeros` are encryptions of zero made beforehand for this one
        call, one a ciphertext, each `zero_bytes`; masks may be on them already.

        Raises:
            ValueError: the values are no uint16 vector or exceed the study's bits, or there are too few zeros.
        """
        if values.dtype != np.uint16 or values.ndim != 1 or values.size == 0:
            raise ValueError("encrypt takes a uint16 vector with at least one value")
        if int(values.max()) > self.params.largest_value:
            raise ValueError("a value exceeds the study's bits")
        if zeros and len(zeros) != self.params.ciphertexts(values.size):
            raise ValueError("there is one encryption of zero for each ciphertext")
        return Encryption(self, values, zeros)

    def protect(self, values: NDArray[np.uint16], processes: int = 1) -> Ciphertext:
        """Encrypt values, without masks, into the wire form.

        Raises:
            ValueError: as `encrypt`.
            WorkerFailed: a worker failed.
        """
        encryption = self.encrypt(values)
        packed, seeds = [], []
        for words, own_seeds in encryption.in_order(processes):
            packed.append(frames.encode(words, self.params))
            seeds.append(own_seeds)
        return Ciphertext(tuple(packed), b"".join(seeds))

    def open(
        self, sum_frames: Sequence[bytes], seeds: Sequence[bytes], length: int, processes: int = 1
    ) -> NDArray[np.int64]:
        """Decrypt the sum of unmasked uploads, each once, whose seeds are given: the exact sums, shape (length,).

        Args:
            sum_frames: the frames of the sum.
            seeds: one upload's seeds for each silo in the sum.
            length: values in an upload.
            processes: workers at most.

        Raises:
            ProtocolError: `protocol.sum_silos`, `protocol.frame_count`, or as `privacy.he.frames` for sizes;
                `sum.refused` if anything opened is not a sum of that many uploads.
            WorkerFailed: a worker failed.
        """
        counts = self.params.frame_ciphertexts(length)
        if len(sum_frames) != len(counts):
            raise ProtocolError(
                f"a sum has {len(sum_frames)} frames instead of {len(counts)}; the round is refused",
                code="protocol.frame_count",
            )
        return self.open_words(
            lambda index: frames.decode(sum_frames[index], counts[index], self.params), seeds, length, processes
        )

    def open_words(
        self, words_of: Callable[[int], Words], seeds: Sequence[bytes], length: int, processes: int = 1
    ) -> NDArray[np.int64]:
        """As `open`, of words: `words_of(index)` gives those of a frame, without masks. It may run in a worker."""
        if not 1 <= len(seeds) <= self.params.silos:
            raise ProtocolError(
                f"a sum names {len(seeds)} silos where the study has {self.params.silos}; the round is refused",
                code="protocol.sum_silos",
            )
        for upload in seeds:
            frames.check_seeds(upload, length, self.params)
        per, slots = self.params.values_per_ciphertext, self.params.degree * self.params.fields

        def opened(index: int) -> NDArray[np.int64]:
            first = index * self.params.ciphertexts_per_frame
            words = words_of(index)
            phases = np.empty_like(words)
            for number, word in enumerate(words):
                position = slice((first + number) * SEED_BYTES, (first + number + 1) * SEED_BYTES)
                phases[number] = self._phase(word, [upload[position] for upload in seeds])
            return self._packing.unpack(self._ring.from_ntt(phases))

        sums = np.empty(length, np.int64)
        sound = True
        bound, start = len(seeds) * self.params.largest_value, 0
        size = 8 * self.params.ciphertexts_per_frame * slots
        for result in in_order(opened, self.params.frame_count(length), size, processes):
            for fields in result.view(np.int64).reshape(-1, slots):
                own = sums[start : start + per]
                own[:] = fields[: own.size]
                sound &= int(own.min()) >= 0 and int(own.max()) <= bound and not fields[own.size :].any()
                start += per
        # Everything is opened before anything is judged, and there is one answer: see the module's first lines.
        if not sound:
            raise ProtocolError(
                "the sum that was opened cannot be one of the silos' uploads; the round is refused and a person must "
                "look at the aggregator",
                code="sum.refused",
            )
        return sums

    def zero(self) -> tuple[Words, bytes]:
        """A fresh encryption of zero: its words (primes, degree), and its seed."""
        return self._ring.files.read_seeded(self._encryptor.encrypt_zero_symmetric())

    def _encrypted(self, values: NDArray[np.uint16], zeros: Sequence[tuple[Words, bytes]]) -> Words:
        """Words (ciphertexts, primes, degree) of values, on top of encryptions of zero."""
        words = self._ring.to_ntt(self._packing.pack(values))
        for ciphertext, (zero, _) in zip(words, zeros, strict=True):
            ciphertext += zero
        np.minimum(words, words - self._moduli, out=words)
        return words

    def _phase(self, word: Words, seeds: Sequence[bytes]) -> Words:
        """c0 + s * (sum of the expanded seeds), in NTT form, shape (primes, degree)."""
        total, other, plaintext = sealapi.Ciphertext(), sealapi.Ciphertext(), sealapi.Plaintext()
        self._ring.files.write_seeded(total, word, seeds[0])
        for seed in seeds[1:]:
            self._ring.files.write_seed(other, seed)
            self._ring.evaluator.add_inplace(total, other)
        self._decryptor.decrypt(total, plaintext)
        return self._ring.files.read_plaintext(plaintext)


class Encryption:
    """One encryption of one vector, frame by frame. Made by `KeyHolder.encrypt`; every frame is encrypted once.

    Frames may be made in any order and in forked workers, each in one place. In this process a second
    encryption of a frame is misuse: masks and budget are for one.
    """

    def __init__(self, holder: KeyHolder, values: NDArray[np.uint16], zeros: Sequence[NDArray[np.uint8]]) -> None:
        self._holder, self._values, self._zeros = holder, values, zeros
        self._counts = holder.params.frame_ciphertexts(values.size)
        self._done: set[int] = set()

    def __len__(self) -> int:
        return len(self._counts)

    def frame(self, index: int) -> tuple[Words, bytes]:
        """Words (ciphertexts, primes, degree) of frame `index` from 0, each below its prime, and their seeds.

        Raises:
            RuntimeError: that frame was made before.
            IndexError: there is none.
        """
        if index in self._done:
            raise RuntimeError("a frame is encrypted once")
        params = self._holder.params
        count, first = self._counts[index], index * params.ciphertexts_per_frame
        self._done.add(index)
        zeros = [self._zero(first + number) for number in range(count)]
        per = params.values_per_ciphertext
        words = self._holder._encrypted(self._values[first * per : (first + count) * per], zeros)
        return words, b"".join(seed for _, seed in zeros)

    def in_order(self, processes: int = 1) -> Iterator[tuple[Words, bytes]]:
        """All frames in order, made by so many workers at most.

        Raises:
            WorkerFailed: a worker failed.
        """
        params = self._holder.params

        def made(index: int) -> NDArray[np.uint8]:
            words, seeds = self.frame(index)
            return np.concatenate([words.reshape(-1).view(np.uint8), np.frombuffer(seeds, np.uint8)])

        words_bytes = 8 * len(params.primes) * params.degree
        size = params.ciphertexts_per_frame * (words_bytes + SEED_BYTES)
        for index, result in enumerate(in_order(made, len(self), size, processes)):
            end = self._counts[index] * words_bytes
            words = result[:end].view(np.uint64).reshape(-1, len(params.primes), params.degree)
            self._done.add(index)
            yield words, result[end:].tobytes()

    def _zero(self, ciphertext: int) -> tuple[Words, bytes]:
        return zero_of(self._zeros[ciphertext], self._holder.params) if self._zeros else self._holder.zero()


def zero_bytes(words: Words, seed: bytes) -> NDArray[np.uint8]:
    """An encryption of zero, words (primes, degree) and seed, as `KeyHolder.encrypt` takes it."""
    return np.frombuffer(seed + words.tobytes(), np.uint8)


def zero_of(made: NDArray[np.uint8], params: CiphertextParams) -> tuple[Words, bytes]:
    """The inverse of `zero_bytes`; the words are not copied."""
    return made[SEED_BYTES:].view(np.uint64).reshape(len(params.primes), params.degree), made[:SEED_BYTES].tobytes()
