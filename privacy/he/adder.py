"""The blind adder: one aggregate of ciphertext words, added modulo each prime, frame by frame.

All an aggregator can do with uploads. It holds no key, needs no HE library (the result is byte for
byte what SEAL's `Evaluator.add` gives) and keeps one aggregate in memory whatever the number of
silos. It does not know who sent what: that an upload is added once, and only if it is among the
survivors, is its caller's matter.
"""

from collections.abc import Iterator

import numpy as np

from privacy.he import frames
from privacy.he.params import CiphertextParams


class Adder:
    """The running sum of uploads of `length` values each.

    Args:
        params: the study's ciphertext parameters.
        length: values in an upload.
    """

    def __init__(self, params: CiphertextParams, length: int) -> None:
        self._params = params
        self._length = length
        self._moduli = frames.moduli(params)
        self._sums = [
            np.zeros((count, len(params.primes), params.degree), np.uint64)
            for count in params.frame_ciphertexts(length)
        ]
        self._added = [0] * len(self._sums)

    def add(self, index: int, frame: bytes) -> None:
        """Add frame `index` (from 0) of one more upload. A frame that is refused changes nothing.

        Raises:
            ProtocolError: the frame is not well formed (`privacy.he.frames.decode`).
            RuntimeError: more uploads than the parameters are exact for.
        """
        words = frames.decode(frame, frames.expected_ciphertexts(index, self._length, self._params), self._params)
        if self._added[index] == self._params.silos:
            raise RuntimeError("more uploads were added than the study has silos")
        # Both terms are below q < 2^50: the sum cannot wrap, and where it is below q the difference
        # wraps to a huge number, so that the minimum is the sum modulo q.
        total = self._sums[index]
        total += words
        np.subtract(total, self._moduli, out=words)
        np.minimum(total, words, out=total)
        self._added[index] += 1

    def sum_frames(self) -> Iterator[bytes]:
        """The frames of the sum, in order, packed one at a time.

        Raises:
            RuntimeError: nothing was added, or an upload was added in part.
        """
        if self._added[0] == 0 or len(set(self._added)) != 1:
            raise RuntimeError("the sum is not complete: every frame of every upload must be added first")
        return (frames.encode(total, self._params) for total in self._sums)
