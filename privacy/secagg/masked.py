"""The whole way of an upload and of a sum between integers and wire bytes: CKKS, masks and MAC, frame by frame.

Memory is a few frames a worker besides the vector itself. Every frame is made in one worker and in one pass: encrypted,
masked, cut into wire form, hashed and tagged. Does not decide anything: keys come from the round's shares, whether a
sum may be opened from the checks of M4 and M5.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.keyholder import KeyHolder, zero_bytes
from privacy.he.params import SEED_BYTES, CiphertextParams
from privacy.he.workers import Workers, in_order
from privacy.secagg import masks
from privacy.secagg.findings import Findings
from privacy.secagg.mac import RESIDUE_BYTES, Residues, RoundMac
from privacy.secagg.masks import MaskKeys

DIGEST_BYTES = 32

FrameOf = Callable[[int], bytes]
"""Gives the wire bytes of a frame of the sum by its index; it may run in a worker, so it reads a file, not a stream."""


@dataclass(frozen=True)
class MaskedFrame:
    """One frame of an upload as it is sent, its SHA-256, its seeds, and its part of the MAC."""

    wire: bytes
    digest: bytes
    seeds: bytes
    mac: Residues


class Prepared:
    """What an upload needs that does not depend on its values: encryptions of zero with this silo's masks on them.

    Workers start when this is made and work while the silo trains. It serves one upload, and none may share it: two
    vectors under the same masks and the same randomness would show their difference. A context manager that ends
    the workers. Memory: a ciphertext's words, unpacked, for each ciphertext of the upload.

    Args:
        holder: the epoch's key.
        length: values in the upload.
        keys: this silo's masks of the round.
        processes: workers.

    Raises:
        WorkerFailed: they cannot be started.
    """

    def __init__(self, holder: KeyHolder, length: int, keys: MaskKeys, processes: int = 1) -> None:
        params = holder.params
        count = params.ciphertexts(length)

        def made(index: int) -> NDArray[np.uint8]:
            zero, seed = holder.zero()
            words = zero[np.newaxis].copy()
            masks.add(words, keys, params, index)
            return zero_bytes(words[0], seed)

        size = SEED_BYTES + 8 * len(params.primes) * params.degree
        self._keys = keys
        self._workers = Workers(made, count, size, processes, ahead=-(-count // max(1, processes)))

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()

    def take(self, keys: MaskKeys) -> list[NDArray[np.uint8]]:
        """All of them, once; waits for them.

        Raises:
            WorkerFailed: a worker failed.
            RuntimeError: they were taken before, or are for other masks.
        """
        if keys != self._keys:
            raise RuntimeError("what was prepared is for other masks")
        return self._workers.take_all()


def protect(
    holder: KeyHolder,
    values: NDArray[np.uint16],
    keys: MaskKeys,
    mac: RoundMac,
    processes: int = 1,
    prepared: Prepared | None = None,
) -> Iterator[MaskedFrame]:
    """Encrypt and mask values, shape (length,): the frames in order.

    Args:
        holder: the epoch's key.
        values: the quantised update.
        keys: this silo's masks of the round.
        mac: the round's MAC, made for that length.
        processes: workers at most.
        prepared: what was made ahead for this upload; used up.

    Raises:
        ValueError: the values do not fit (`KeyHolder.encrypt`).
        WorkerFailed: a worker failed.
        RuntimeError: `prepared` was used before or is for other masks.
    """
    zeros = prepared.take(keys) if prepared else []
    encryption, params = holder.encrypt(values, zeros), holder.params
    counts = params.frame_ciphertexts(values.size)

    def made(index: int) -> bytes:
        words, seeds = encryption.frame(index)
        if not zeros:
            masks.add(words, keys, params, index * params.ciphertexts_per_frame)
        wire = frames.encode(words, params)
        return b"".join([_packed(mac.frame(index, words)), frames.digest(wire), seeds, wire])

    ahead = mac.tag_bytes + DIGEST_BYTES
    size = ahead + params.ciphertexts_per_frame * (SEED_BYTES + params.ciphertext_bytes)
    for count, result in zip(counts, in_order(made, len(counts), size, processes), strict=True):
        body = result.tobytes()
        wire = ahead + count * SEED_BYTES
        yield MaskedFrame(body[wire:], body[mac.tag_bytes : ahead], body[ahead:wire], _residues(body[: mac.tag_bytes]))


def verify_sum(
    frame_of: FrameOf,
    digests: Sequence[bytes],
    tags: Mapping[int, bytes],
    mac: RoundMac,
    params: CiphertextParams,
    length: int,
    processes: int = 1,
) -> None:
    """Check a sum's frames against the survivors list's digests and the survivors' tags, before anything is opened.

    Every frame is read, hashed and put through the MAC whatever is wrong; a malformed one counts as zeros there.

    Raises:
        ProtocolError: `sum.refused`.
        WorkerFailed: a worker failed.
    """
    counts = params.frame_ciphertexts(length)

    def checked(index: int) -> bytes:
        wire, malformed = frame_of(index), False
        try:
            words = frames.decode(wire, counts[index], params)
        except ProtocolError:
            malformed, words = True, np.zeros((counts[index], len(params.primes), params.degree), np.uint64)
        return _packed(mac.frame(index, words)) + hashlib.sha256(wire).digest() + bytes([malformed])

    size, findings = mac.tag_bytes + DIGEST_BYTES + 1, Findings()
    results = [result.tobytes() for result in in_order(checked, len(counts), size, processes)]
    with findings.noting():
        if any(result[-1] for result in results):
            raise ProtocolError("a frame of the sum is malformed")
    with findings.noting():
        if [result[mac.tag_bytes : -1] for result in results] != list(digests):
            raise ProtocolError("a frame of the sum is not the one the survivors list names")
    with findings.noting():
        mac.verify([_residues(result[: mac.tag_bytes]) for result in results], tags)
    findings.settle()


def open_sum(
    holder: KeyHolder, frame_of: FrameOf, keys: MaskKeys, seeds: Sequence[bytes], length: int, processes: int = 1
) -> NDArray[np.int64]:
    """Take the masks off a verified sum and open it: the exact sums, int64 (length,).

    Args:
        holder: the epoch's key.
        frame_of: the frames of the sum.
        keys: the masks that are left in it.
        seeds: one upload's seeds for each silo in the sum.
        length: values in an upload.
        processes: workers at most.

    Raises:
        ProtocolError: as `KeyHolder.open`.
        WorkerFailed: a worker failed.
    """
    params, counts = holder.params, holder.params.frame_ciphertexts(length)

    def unmasked(index: int) -> NDArray[np.uint64]:
        words = frames.decode(frame_of(index), counts[index], params)
        masks.subtract(words, keys, params, index * params.ciphertexts_per_frame)
        return words

    return holder.open_words(unmasked, seeds, length, processes)


def _packed(residues: Residues) -> bytes:
    return b"".join(value.to_bytes(RESIDUE_BYTES, "big") for value in residues)


def _residues(packed: bytes) -> Residues:
    return tuple(
        int.from_bytes(packed[start : start + RESIDUE_BYTES], "big") for start in range(0, len(packed), RESIDUE_BYTES)
    )
