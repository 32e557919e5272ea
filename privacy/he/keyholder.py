"""The keyholder: a silo's side of the ciphertexts. Protects a vector of integers, opens a sum of them.

Every silo of a study holds the same secret (it must, to read the sum), so this alone does not hide an update
from a silo that colludes with the aggregator; masks do that. Opening answers with the sum or with one error: a
keyholder that told a peer *how* a sum was wrong would answer questions about the secret. Whether a sum may be opened
at all is decided before (survivors, digests, later the MAC). Not for the aggregator: it cannot import this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tenseal.sealapi as sealapi
from numpy.typing import NDArray

from privacy.errors import ProtocolError
from privacy.he import frames, packing
from privacy.he.params import SEED_BYTES, CiphertextParams
from privacy.he.ring import Ring


@dataclass(frozen=True)
class Ciphertext:
    """An upload: frames of packed words in order, and 64 bytes of seed for each ciphertext in order."""

    frames: tuple[bytes, ...]
    seeds: bytes


class KeyHolder:
    """The secret of a study's key epoch and what it is for. One thread and one process at a time.

    Made by `generate` (the steward) or `from_secret` (every other silo). Its `repr` shows no secret.
    """

    def __init__(self, ring: Ring, coefficients: NDArray[np.int8]) -> None:
        self.params = ring.params
        self._ring = ring
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

    def protect(self, values: NDArray[np.uint16]) -> Ciphertext:
        """Encrypt values, shape (length,), padded with zeros to whole ciphertexts, under fresh randomness.

        Raises:
            ValueError: the values are no uint16 vector or exceed the study's bits.
        """
        if values.dtype != np.uint16 or values.ndim != 1 or values.size == 0:
            raise ValueError("protect takes a uint16 vector with at least one value")
        if int(values.max()) > self.params.largest_value:
            raise ValueError("a value exceeds the study's bits")
        packed, seeds, start = [], [], 0
        for count in self.params.frame_ciphertexts(values.size):
            stop = start + count * self.params.values_per_ciphertext
            words = self._ring.to_ntt(packing.pack(values[start:stop], self.params))
            for ciphertext in words:
                zero, seed = self._ring.files.read_seeded(self._encryptor.encrypt_zero_symmetric())
                ciphertext += zero
                seeds.append(seed)
            np.minimum(words, words - self._moduli, out=words)
            packed.append(frames.encode(words, self.params))
            start = stop
        return Ciphertext(tuple(packed), b"".join(seeds))

    def open(self, sum_frames: Sequence[bytes], seeds: Sequence[bytes], length: int) -> NDArray[np.int64]:
        """Decrypt the sum of the uploads whose seeds are given, each once: the exact integer sums, shape (length,).

        Args:
            sum_frames: the frames of the sum.
            seeds: one upload's seeds for each silo in the sum.
            length: values in an upload.

        Raises:
            ProtocolError: `protocol.sum_silos`, `protocol.frame_count`, or as `privacy.he.frames` for sizes;
                `sum.refused` if anything opened is not a sum of that many uploads.
        """
        if not 1 <= len(seeds) <= self.params.silos:
            raise ProtocolError(
                f"a sum names {len(seeds)} silos where the study has {self.params.silos}; the round is refused",
                code="protocol.sum_silos",
            )
        for upload in seeds:
            frames.check_seeds(upload, length, self.params)
        counts = self.params.frame_ciphertexts(length)
        if len(sum_frames) != len(counts):
            raise ProtocolError(
                f"a sum has {len(sum_frames)} frames instead of {len(counts)}; the round is refused",
                code="protocol.frame_count",
            )
        sums = np.empty(self.params.ciphertexts(length) * self.params.values_per_ciphertext, np.int64)
        first = 0
        for frame, count in zip(sum_frames, counts, strict=True):
            words = frames.decode(frame, count, self.params)
            for index, word in enumerate(words, start=first):
                position = slice(index * SEED_BYTES, (index + 1) * SEED_BYTES)
                word[:] = self._phase(word, [upload[position] for upload in seeds])
            per = self.params.values_per_ciphertext
            sums[first * per : (first + count) * per] = packing.unpack(self._ring.from_ntt(words), self.params)
            first += count
        # Everything is opened before anything is judged, and there is one answer: see the module's first lines.
        too_large = int(sums[:length].max()) > len(seeds) * self.params.largest_value
        if too_large or sums[length:].any():
            raise ProtocolError(
                "the sum that was opened cannot be one of the silos' uploads; the round is refused and a person must "
                "look at the aggregator",
                code="sum.refused",
            )
        return sums[:length]

    def _phase(self, word: NDArray[np.uint64], seeds: Sequence[bytes]) -> NDArray[np.uint64]:
        """c0 + s * (sum of the expanded seeds), in NTT form, shape (primes, degree)."""
        total, other, plaintext = sealapi.Ciphertext(), sealapi.Ciphertext(), sealapi.Plaintext()
        self._ring.files.write_seeded(total, word, seeds[0])
        for seed in seeds[1:]:
            self._ring.files.write_seeded(other, np.zeros_like(word), seed)
            self._ring.evaluator.add_inplace(total, other)
        self._decryptor.decrypt(total, plaintext)
        return self._ring.files.read_plaintext(plaintext)
