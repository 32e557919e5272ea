"""Adds the stored uploads of a frozen round, one frame at a time.

Memory is one frame of the aggregate and one of an upload, whatever the number of silos or the size
of the model. Only stored frames are read, after the freeze.
"""

from collections.abc import Sequence

from aggregator.storage.store import RoundStore
from privacy.he.adder import Adder
from privacy.he.params import CiphertextParams


def fold(
    params: CiphertextParams, frame_bytes: Sequence[int], silos: Sequence[int], store: RoundStore
) -> tuple[bytes, ...]:
    """Sum the uploads of `silos` into the round's sum; returns the SHA-256 of each frame of the sum.

    Raises:
        ProtocolError: a stored frame holds a word that is not a residue.
        StorageError: the sum cannot be stored.
    """
    digests: list[bytes] = []
    for index, size in enumerate(frame_bytes):
        adder = Adder(params, size // params.ciphertext_bytes * params.values_per_ciphertext)
        for silo in silos:
            adder.add(0, store.frame(silo, index))
        (frame,) = adder.sum_frames()
        digests.append(store.put_sum(index, frame))
    return tuple(digests)
