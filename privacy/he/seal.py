"""SEAL's file layout, and nothing else: the one module that knows where in SEAL's files the words are.

`tenseal.sealapi` can save an object to a path and load it from one, but gives no access to its words. A
memory file (`memfd`, never on disk) carries them both ways. Layout: Microsoft SEAL 4.3, native/src/seal/
{serialization.h, ciphertext.cpp, plaintext.h, dynarray.h, randomgen.h}, all little-endian:

    header      magic A15E, header size 16, version 4.3, compression, two reserved bytes, total size
    ciphertext  parms_id (32), is_ntt (1), polynomials, degree, primes, scale (double), correction, array
    seeded      a ciphertext whose array holds the first polynomial only, then header, type (1), seed (64)
    plaintext   parms_id (32), coefficients, scale (double), array; a secret key is one
    array       header, number of words, words

What SEAL wrote is compared byte for byte with what this layout says, on every read; anything else is
refused. Linux only. A `SealFile` belongs to one thread and one process.
"""

import os
import struct
import weakref
from typing import Protocol

import numpy as np
import zstandard
from numpy.typing import NDArray

from privacy.errors import ConfigError
from privacy.he.params import SEED_BYTES, CiphertextParams

HEADER = struct.Struct("<HBBBBHQ")
MAGIC, VERSION = 0xA15E, (4, 3)
PLAIN, ZSTANDARD = 0, 2
BLAKE2XB = b"\x01"
SEED_TAIL_BYTES = HEADER.size + len(BLAKE2XB) + SEED_BYTES
MAX_POLYNOMIALS = 16


class SealObject(Protocol):
    """What saves itself: a ciphertext, a fresh seeded ciphertext, a plaintext or a secret key."""

    def save(self, path: str, /) -> None:
        """Write a SEAL file."""


class LoadableSealObject(SealObject, Protocol):
    """What also loads itself."""

    def load(self, context: object, path: str, /) -> None:
        """Read a SEAL file and check it against a context."""


def unknown_layout(what: str) -> ConfigError:
    """The error for an installation whose SEAL does not do what this module was written for."""
    return ConfigError(
        f"the installed TenSEAL {what}; install the versions of constraints.txt and start again", code="he.seal_layout"
    )


def header(total: int) -> bytes:
    """A SEAL header of an uncompressed file or array of `total` bytes, header included."""
    return HEADER.pack(MAGIC, HEADER.size, *VERSION, PLAIN, 0, total)


class SealFile:
    """Words of SEAL objects in and out, through one memory file.

    Args:
        params: ring and primes.
        context: the `SEALContext` that loaded objects are checked against.
        parms_id: SEAL's 32-byte identifier of those parameters.
    """

    def __init__(self, params: CiphertextParams, context: object, parms_id: bytes) -> None:
        self._primes, self._degree = len(params.primes), params.degree
        self._context, self._parms_id = context, parms_id
        self._file = os.memfd_create("seal")
        self._path = f"/proc/self/fd/{self._file}"
        self._decompressor = zstandard.ZstdDecompressor()
        weakref.finalize(self, os.close, self._file)

    def read_seeded(self, ciphertext: SealObject) -> tuple[NDArray[np.uint64], bytes]:
        """First polynomial (primes, degree) and seed of a fresh symmetric encryption in NTT form."""
        head = self._ciphertext_head(2, ntt=True, seeded=True)
        words, tail = self._read(ciphertext, head, 1, SEED_TAIL_BYTES)
        if not tail.startswith(header(SEED_TAIL_BYTES) + BLAKE2XB):
            raise unknown_layout("writes seeds in an unknown form")
        return words[0], tail[-SEED_BYTES:]

    def read_ciphertext(self, ciphertext: SealObject, polynomials: int, *, ntt: bool) -> NDArray[np.uint64]:
        """All polynomials of a ciphertext, shape (polynomials, primes, degree)."""
        return self._read(ciphertext, self._ciphertext_head(polynomials, ntt=ntt), polynomials)[0]

    def read_plaintext(self, plaintext: SealObject) -> NDArray[np.uint64]:
        """Words of a plaintext or secret key in NTT form with scale 1, shape (primes, degree)."""
        words = self._read(plaintext, self._plaintext_head(), 1)[0]
        return words.reshape(self._primes, self._degree)

    def write_ciphertext(self, ciphertext: LoadableSealObject, words: NDArray[np.uint64], *, ntt: bool) -> None:
        """Make `ciphertext` the polynomials `words`, shape (polynomials, primes, degree)."""
        self._write(ciphertext, self._ciphertext_head(len(words), ntt=ntt), words)

    def write_seeded(self, ciphertext: LoadableSealObject, words: NDArray[np.uint64], seed: bytes) -> None:
        """Make `ciphertext` (words, expansion of seed) in NTT form; `words` has shape (primes, degree)."""
        tail = header(SEED_TAIL_BYTES) + BLAKE2XB + seed
        self._write(ciphertext, self._ciphertext_head(2, ntt=True, seeded=True), words, tail)

    def write_plaintext(self, plaintext: LoadableSealObject, words: NDArray[np.uint64]) -> None:
        """Make a plaintext or secret key of words in NTT form, shape (primes, degree)."""
        self._write(plaintext, self._plaintext_head(), words)

    def _ciphertext_head(self, polynomials: int, *, ntt: bool, seeded: bool = False) -> bytes:
        shape = struct.pack("<?QQQdQ", ntt, polynomials, self._degree, self._primes, 1.0, 1)
        return self._parms_id + shape + self._array_head(1 if seeded else polynomials)

    def _plaintext_head(self) -> bytes:
        return self._parms_id + struct.pack("<Qd", self._degree * self._primes, 1.0) + self._array_head(1)

    def _array_head(self, polynomials: int) -> bytes:
        words = polynomials * self._primes * self._degree
        return header(HEADER.size + 8 + 8 * words) + struct.pack("<Q", words)

    def _read(
        self, source: SealObject, head: bytes, polynomials: int, tail_bytes: int = 0
    ) -> tuple[NDArray[np.uint64], bytes]:
        """Save `source` and give its words (polynomials, primes, degree) and what follows them."""
        os.ftruncate(self._file, 0)
        source.save(self._path)
        saved = os.pread(self._file, os.fstat(self._file).st_size, 0)
        os.ftruncate(self._file, 0)
        words_bytes = 8 * polynomials * self._primes * self._degree
        body = self._uncompressed(saved, len(head) + words_bytes + tail_bytes)
        if body[: len(head)] != head:
            raise unknown_layout("writes ciphertexts in an unknown form")
        words = np.frombuffer(body, "<u8", words_bytes // 8, len(head))
        return words.reshape(polynomials, self._primes, self._degree), body[len(head) + words_bytes :]

    def _uncompressed(self, saved: bytes, expected: int) -> bytes:
        """The body of a SEAL file, which must have exactly `expected` bytes."""
        if len(saved) < HEADER.size:
            raise unknown_layout("writes no file")
        magic, size, major, minor, compression, _, total = HEADER.unpack_from(saved)
        if (magic, size, (major, minor), total) != (MAGIC, HEADER.size, VERSION, len(saved)):
            raise unknown_layout("writes files of an unknown version of SEAL")
        body = saved[HEADER.size :]
        if compression == ZSTANDARD:
            try:
                body = self._decompressor.decompress(body, max_output_size=expected)
            except zstandard.ZstdError as error:
                raise unknown_layout("compresses files in an unknown form") from error
        elif compression != PLAIN:
            raise unknown_layout("compresses files in an unknown form")
        if len(body) != expected:
            raise unknown_layout("writes files of an unexpected length")
        return body

    def _write(self, target: LoadableSealObject, head: bytes, words: NDArray[np.uint64], tail: bytes = b"") -> None:
        """Write an uncompressed SEAL file and have `target` load it; SEAL checks that words are reduced."""
        total = HEADER.size + len(head) + words.nbytes + len(tail)
        os.ftruncate(self._file, 0)
        written = os.pwritev(self._file, [header(total), head, np.ascontiguousarray(words).data, tail], 0)
        if written != total:
            raise OSError("a memory file was not written in full")
        target.load(self._context, self._path)
        os.ftruncate(self._file, 0)
