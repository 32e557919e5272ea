"""SEAL's file layout, and nothing else: the one module that knows where in SEAL's files the words are.

`tenseal.sealapi` can save an object to a path and load it from one, but gives no access to its words. A
memory file (`memfd`, never on disk) carries them both ways. Layout: Microsoft SEAL 4.3, native/src/seal/
{serialization.h, ciphertext.cpp, plaintext.h, dynarray.h, randomgen.h}, all little-endian:

    header      magic A15E, header size 16, version 4.3, compression, two reserved bytes, total size
    ciphertext  parms_id (32), is_ntt (1), polynomials, degree, primes, scale (double), correction, array
    seeded      a ciphertext whose array holds the first polynomial only, then header, type (1), seed (64)
    plaintext   parms_id (32), coefficients, scale (double), array
    secret key  a plaintext under the key's parms_id, with the special prime, where there is one, after the others
    array       header, number of words, words

What SEAL wrote is compared byte for byte with what this layout says, on every read; anything else is
refused. Linux only. A `SealFile` belongs to one thread; a forked process gets memory files of its own.
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


def has_special_prime(params: CiphertextParams) -> bool:
    """Whether SEAL puts a prime of its own above the data primes of a key: it does where there are several."""
    return len(params.primes) > 1


def header(total: int) -> bytes:
    """A SEAL header of an uncompressed file or array of `total` bytes, header included."""
    return HEADER.pack(MAGIC, HEADER.size, *VERSION, PLAIN, 0, total)


class SealFile:
    """Words of SEAL objects in and out, through one memory file.

    Args:
        params: ring and primes.
        context: the `SEALContext` that loaded objects are checked against.
        parms_id: SEAL's 32-byte identifier of the parameters of ciphertexts.
        key_id: that of the parameters of keys.
    """

    def __init__(self, params: CiphertextParams, context: object, parms_id: bytes, key_id: bytes) -> None:
        self._primes, self._degree = len(params.primes), params.degree
        self._key_primes = self._primes + has_special_prime(params)
        self._context, self._parms_id, self._key_id = context, parms_id, key_id
        self._decompressor = zstandard.ZstdDecompressor()
        self._seeded_head = self._ciphertext_head(2, ntt=True, seeded=True)
        self._files = [os.memfd_create("seal"), os.memfd_create("seal-seed")]
        self._process = os.getpid()
        self._fill_seed_file()
        weakref.finalize(self, _close, self._files)

    def read_seeded(self, ciphertext: SealObject) -> tuple[NDArray[np.uint64], bytes]:
        """First polynomial (primes, degree) and seed of a fresh symmetric encryption in NTT form."""
        words, tail = self._read(ciphertext, self._seeded_head, self._primes, SEED_TAIL_BYTES)
        if not tail.startswith(header(SEED_TAIL_BYTES) + BLAKE2XB):
            raise unknown_layout("writes seeds in an unknown form")
        return words, tail[-SEED_BYTES:]

    def read_ciphertext(self, ciphertext: SealObject, polynomials: int, *, ntt: bool) -> NDArray[np.uint64]:
        """All polynomials of a ciphertext, shape (polynomials, primes, degree)."""
        words = self._read(ciphertext, self._ciphertext_head(polynomials, ntt=ntt), polynomials * self._primes)[0]
        return words.reshape(polynomials, self._primes, self._degree)

    def read_plaintext(self, plaintext: SealObject) -> NDArray[np.uint64]:
        """Words of a plaintext in NTT form with scale 1, shape (primes, degree)."""
        return self._read(plaintext, self._plaintext_head(self._parms_id, self._primes), self._primes)[0]

    def read_secret_key(self, key: SealObject) -> NDArray[np.uint64]:
        """Words of a secret key modulo the data primes, in NTT form, shape (primes, degree)."""
        head = self._plaintext_head(self._key_id, self._key_primes)
        return self._read(key, head, self._key_primes)[0][: self._primes]

    def write_ciphertext(self, ciphertext: LoadableSealObject, words: NDArray[np.uint64], *, ntt: bool) -> None:
        """Make `ciphertext` the polynomials `words`, shape (polynomials, primes, degree)."""
        self._write(ciphertext, self._ciphertext_head(len(words), ntt=ntt), words)

    def write_seeded(self, ciphertext: LoadableSealObject, words: NDArray[np.uint64], seed: bytes) -> None:
        """Make `ciphertext` (words, expansion of seed) in NTT form; `words` has shape (primes, degree)."""
        self._write(ciphertext, self._seeded_head, words, header(SEED_TAIL_BYTES) + BLAKE2XB + seed)

    def write_seed(self, ciphertext: LoadableSealObject, seed: bytes) -> None:
        """Make `ciphertext` (zero, expansion of seed) in NTT form. Only the seed is written, the rest stands."""
        file = self._own_files()[1]
        if len(seed) != SEED_BYTES or os.pwrite(file, seed, self._seed_position) != SEED_BYTES:
            raise ValueError("a seed was not written in full")
        ciphertext.load(self._context, f"/proc/self/fd/{file}")

    def write_secret_key(self, key: LoadableSealObject, words: NDArray[np.uint64]) -> None:
        """Make a secret key of words modulo the data primes in NTT form, shape (primes, degree).

        Modulo the special prime it is zero: encryption and decryption at the data level never read those words.
        """
        rows = np.zeros((self._key_primes, self._degree), np.uint64)
        rows[: self._primes] = words
        self._write(key, self._plaintext_head(self._key_id, self._key_primes), rows)

    def _ciphertext_head(self, polynomials: int, *, ntt: bool, seeded: bool = False) -> bytes:
        shape = struct.pack("<?QQQdQ", ntt, polynomials, self._degree, self._primes, 1.0, 1)
        return self._parms_id + shape + self._array_head((1 if seeded else polynomials) * self._primes)

    def _plaintext_head(self, parms_id: bytes, primes: int) -> bytes:
        return parms_id + struct.pack("<Qd", self._degree * primes, 1.0) + self._array_head(primes)

    def _array_head(self, rows: int) -> bytes:
        words = rows * self._degree
        return header(HEADER.size + 8 + 8 * words) + struct.pack("<Q", words)

    def _read(
        self, source: SealObject, head: bytes, rows: int, tail_bytes: int = 0
    ) -> tuple[NDArray[np.uint64], bytes]:
        """Save `source` and give its words (rows, degree) and what follows them."""
        file = self._own_files()[0]
        os.ftruncate(file, 0)
        source.save(f"/proc/self/fd/{file}")
        saved = os.pread(file, os.fstat(file).st_size, 0)
        words_bytes = 8 * rows * self._degree
        body = self._uncompressed(saved, len(head) + words_bytes + tail_bytes)
        if body[: len(head)] != head:
            raise unknown_layout("writes ciphertexts in an unknown form")
        words = np.frombuffer(body, "<u8", words_bytes // 8, len(head))
        return words.reshape(rows, self._degree), body[len(head) + words_bytes :]

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
        file = self._own_files()[0]
        os.ftruncate(file, total)
        written = os.pwritev(file, [header(total), head, np.ascontiguousarray(words).data, tail], 0)
        if written != total:
            raise OSError("a memory file was not written in full")
        target.load(self._context, f"/proc/self/fd/{file}")

    def erase(self) -> None:
        """Drop what the last object left in the memory file; it is overwritten by the next one in any case."""
        os.ftruncate(self._own_files()[0], 0)

    def _own_files(self) -> list[int]:
        """This process's memory files: after a fork, those of the parent must not be written to."""
        if self._process != os.getpid():
            _close(self._files)
            self._files[:] = [os.memfd_create("seal"), os.memfd_create("seal-seed")]
            self._process = os.getpid()
            self._fill_seed_file()
        return self._files

    def _fill_seed_file(self) -> None:
        zero = bytes(8 * self._primes * self._degree)
        before = [header(0), self._seeded_head, zero, header(SEED_TAIL_BYTES) + BLAKE2XB]
        self._seed_position = sum(map(len, before))
        before[0] = header(self._seed_position + SEED_BYTES)
        os.pwritev(self._files[1], [*before, bytes(SEED_BYTES)], 0)


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)
