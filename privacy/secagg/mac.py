"""The linear MAC: silos find out that a sum is not the sum of exactly the accepted uploads before they open it.

For i = 1, 2 and modulo each prime q, silo u's tag over its masked ciphertext words w (frames w_f, padding included) is

    tag_i[u] = <rho_i, sum over f of beta_i[f] * w_f> + pad_i[u]

with rho (a residue for each word position of a frame), beta (one for each frame) and pad (one for each silo) drawn
from K("mac"), which silos have and the aggregator has not. The map is linear: the map of the sum of the uploads of
U3 is the sum over U3 of (tag[u] - pad[u]), and any silo can compare the two.

*What is proven*, against whoever does not know K("mac"), with the PRG taken as random. (a) Tags tell nothing of rho
and beta: each is used with its own pad[u], a one-time pad, since a silo makes one header for a context. (b) Let
D be what the served sum differs by from the sum of the uploads of U3; it is chosen without knowledge of rho and beta.
If D is not zero modulo some q, then sum_f beta_i[f] D_f is zero with probability at most 1/q over beta_i, and
otherwise its product with rho_i is zero with probability 1/q over rho_i. The two i are independent: D passes with
probability at most (2/q)^2, which is 2^-92 for primes of 48 bits and 2^-96 for 50. (c) Leaving out, doubling or
swapping an upload is such a D, since words are masked: uniform, not zero. (d) Exactly the pads of U3 are subtracted,
each unknown without K("mac"): they cancel only if the tag of every silo of U3, and of no other, is in the equation.

*Why over ciphertext words*: the check comes before any share is revealed and any decryption, so an altered sum gets
no answer from the secret key (reaction attacks recover it from such answers).

*What it is not*: a proof against a silo, since all silos know K("mac"): a silo that colludes with the aggregator can
solve for a D that passes. The spot audit (M4) is for that. Seeds (the ciphertexts' other half) are not words: their
digest stands in the same signed header as the tag.

*Exact arithmetic in float64.* A word is below 2^50, cut into 2 limbs below 2^25; a residue into 3 limbs below 2^17.
A product of limbs is below 2^42, and a chunk has at most 2^11 positions, so every partial sum of a dot product, in
any order and with or without fused operations, is an integer below 2^53: float64 holds it exactly. Sums of chunks
are taken in int64: a frame has fewer than 2^21 words, 2^42 each. The rest is Python integers.
"""

import hmac
import math
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from privacy.errors import ProtocolError
from privacy.he.params import CiphertextParams
from privacy.secagg import prg
from privacy.secagg.derive import derive, group_key

COPIES = (1, 2)
"""The values of i."""
CHUNK = 1 << 11
WORD_LIMBS, WORD_LIMB_BITS = 2, 25
KEY_LIMBS, KEY_LIMB_BITS = 3, 17
RESIDUE_BYTES = 8

Residues: TypeAlias = tuple[int, ...]
"""For each i, for each prime: a residue. `len(COPIES) * len(primes)` of them."""


class RoundMac:
    """The MAC of one round: `frame` for every frame, in any order and process, then `tag` or `verify`.

    Args:
        group_secret: G of the epoch, 32 bytes.
        ctx: the round's context.
        params: the study's ciphertext parameters.
        length: values in an upload.
    """

    def __init__(self, group_secret: bytes, ctx: bytes, params: CiphertextParams, length: int) -> None:
        key = group_key(group_secret, ctx, "mac")
        self._params = params
        self._counts = params.frame_ciphertexts(length)
        self._chunk = math.gcd(params.degree, CHUNK)
        self._moduli = params.primes * len(COPIES)
        primes = params.primes
        frames, silos = len(self._counts), params.silos
        rho, self._beta, self._pads = [], [], []
        for copy in COPIES:
            rho.append(prg.residues(derive(key, b"", "rho", copy), primes, params.degree, 0, max(self._counts)))
            self._beta.append(prg.residues(derive(key, b"", "beta", copy), primes, frames)[0])
            self._pads.append(prg.residues(derive(key, b"", "pad", copy), primes, silos)[0])
        self._rho = self._key_limbs(np.stack(rho, axis=-1))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MAC key is never pickled")

    @property
    def tag_bytes(self) -> int:
        """Bytes of a tag."""
        return RESIDUE_BYTES * len(self._moduli)

    def frame(self, index: int, words: NDArray[np.uint64]) -> Residues:
        """The contribution of frame `index` (from 0): beta_i[index] * <rho_i, words> modulo each prime.

        Args:
            index: position of the frame in the upload.
            words: uint64 (ciphertexts, primes, degree), each below its prime: the masked words, or those of a sum.

        Raises:
            ValueError: the array is not of that frame's shape and type.
        """
        primes, degree = len(self._params.primes), self._params.degree
        if words.dtype != np.uint64 or words.shape != (self._counts[index], primes, degree):
            raise ValueError("words must be uint64 of the frame's shape")
        split = words.reshape(len(words), primes, -1, 1, self._chunk)
        limbs = np.empty((*split.shape[:3], WORD_LIMBS, self._chunk), np.float64)
        limbs[..., 0, :] = split[..., 0, :] & np.uint64((1 << WORD_LIMB_BITS) - 1)
        limbs[..., 1, :] = split[..., 0, :] >> np.uint64(WORD_LIMB_BITS)
        products = np.matmul(limbs, self._rho[: len(words)]).astype(np.int64).sum(axis=(0, 2))
        found = []
        for copy, beta in enumerate(self._beta):
            for prime, weight, row in zip(self._params.primes, beta[:, index].tolist(), products.tolist(), strict=True):
                dot = sum(
                    row[low][copy * KEY_LIMBS + high] << (low * WORD_LIMB_BITS + high * KEY_LIMB_BITS)
                    for low in range(WORD_LIMBS)
                    for high in range(KEY_LIMBS)
                )
                found.append(weight * dot % prime)
        return tuple(found)

    def tag(self, silo: int, frames: Sequence[Residues]) -> bytes:
        """The tag of an upload, for its header.

        Args:
            silo: roster index of the uploader.
            frames: what `frame` gave, in the order of the frames.

        Raises:
            ValueError: not one entry for each frame, or no such silo.
        """
        total = zip(self._total(frames), self._pad(silo), self._moduli, strict=True)
        return b"".join(((value + pad) % prime).to_bytes(RESIDUE_BYTES, "big") for value, pad, prime in total)

    def verify(self, frames: Sequence[Residues], tags: Mapping[int, bytes]) -> None:
        """Check a sum against the tags of the silos whose uploads it must hold, each exactly once.

        Args:
            frames: what `frame` gave for the frames of the sum, in order.
            tags: of each silo of U3, by roster index, from its signed header.

        Raises:
            ProtocolError: `sum.refused`, whatever the reason.
            ValueError: not one entry for each frame.
        """
        expected = [0] * len(self._moduli)
        well_formed = bool(tags)
        for silo, tag in tags.items():
            if len(tag) != self.tag_bytes or not 1 <= silo <= self._params.silos:
                well_formed = False
                continue
            pads = self._pad(silo)
            for place, prime in enumerate(self._moduli):
                value = int.from_bytes(tag[RESIDUE_BYTES * place : RESIDUE_BYTES * (place + 1)], "big")
                well_formed = well_formed and value < prime
                expected[place] = (expected[place] + value - pads[place]) % prime
        if not hmac.compare_digest(_encoded(self._total(frames)), _encoded(expected)) or not well_formed:
            raise ProtocolError(
                "the aggregator's sum is not that of the accepted uploads; the study halts here until a person looks",
                code="sum.refused",
            )

    def _total(self, frames: Sequence[Residues]) -> list[int]:
        if len(frames) != len(self._counts):
            raise ValueError("the MAC takes every frame of an upload once")
        return [sum(column) % prime for column, prime in zip(zip(*frames, strict=True), self._moduli, strict=True)]

    def _pad(self, silo: int) -> list[int]:
        if not 1 <= silo <= self._params.silos:
            raise ValueError("there is no such silo")
        return [int(pad) for pads in self._pads for pad in pads[:, silo - 1]]

    def _key_limbs(self, rho: NDArray[np.uint64]) -> NDArray[np.float64]:
        """rho, uint64 (ciphertexts, primes, degree, copies), as float64 (.., .., chunks, chunk, copies * limbs)."""
        shifts = np.arange(KEY_LIMBS, dtype=np.uint64) * np.uint64(KEY_LIMB_BITS)
        limbs = (rho[..., None] >> shifts) & np.uint64((1 << KEY_LIMB_BITS) - 1)
        shape = (*rho.shape[:2], -1, self._chunk, len(COPIES) * KEY_LIMBS)
        return np.ascontiguousarray(limbs.reshape(shape), np.float64)


def _encoded(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(RESIDUE_BYTES, "big") for value in values)
