"""The only source of randomness for noise, sampling, rounding and masks: a CSPRNG that no seed reaches.

`SecureStream` is AES-256-CTR under a key drawn from the operating system at construction
(`cryptography`). It cannot be seeded, copied or pickled, and reads nothing of numpy's or torch's
global generators. Keys and secrets themselves come from `secrets.token_bytes`, not from here.
"""

import secrets
from typing import NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray


class SecureStream:
    """A stream of uniform values from AES-256-CTR with a fresh system key."""

    def __init__(self) -> None:
        self._stream = Cipher(algorithms.AES(secrets.token_bytes(32)), modes.CTR(secrets.token_bytes(16))).encryptor()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecureStream is never copied or stored: two streams with one state repeat their values")

    def words(self, count: int) -> NDArray[np.uint64]:
        """`count` independent uniform 64-bit words."""
        return np.frombuffer(self._stream.update(bytes(8 * count)), dtype="<u8")

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """`count` uniforms in [0, 1) with 53 random bits, float64."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normals(self, count: int) -> NDArray[np.float64]:
        """`count` standard normals, float64, each the sum of four Box-Muller draws over two.

        The four-draw sum (Holohan and Braghin, arXiv 2107.10138, with n = 2) removes the
        floating-point structure that the attack of Mironov (CCS 2012) and arXiv 2112.05307 reads.
        """
        total = np.zeros(count, np.float64)
        half = -(-count // 2)
        for _ in range(4):
            radius = np.sqrt(-2.0 * np.log1p(-self.uniforms(half)))
            angle = 2.0 * np.pi * self.uniforms(half)
            total += np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
        return total / 2.0

    def below(self, bound: int, count: int) -> NDArray[np.int64]:
        """`count` unbiased integers in [0, bound), by rejection.

        Raises:
            ValueError: `bound` is not in 1..2**62.
        """
        if not 1 <= bound <= 2**62:
            raise ValueError("bound must be in 1..2**62")
        limit = np.uint64(2**64 - 1 - (2**64 % bound)) if 2**64 % bound else np.uint64(2**64 - 1)
        kept = np.empty(0, np.uint64)
        while kept.size < count:
            drawn = self.words(count - kept.size)
            kept = np.concatenate([kept, drawn[drawn <= limit]])
        return (kept % np.uint64(bound)).astype(np.int64)
