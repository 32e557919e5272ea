"""Which frames of a round's sum this silo audits: drawn once, when it sees the survivor list, and durable from then on.

The aggregator sees which frames are fetched. If a silo drew again after a lost connection or a restart, an aggregator
could stop answering until the draw falls beside what it altered; a second list, made when the draw is known, is
refused. The file: context of the round, H(S), then each frame as four bytes.
"""

from pathlib import Path

from privacy import durable
from privacy.errors import CorruptState
from privacy.randomness import SecureStream
from privacy.secagg import audit
from privacy.secagg.findings import refusal

DIGEST_BYTES, INDEX_BYTES = 32, 4


def draw(
    path: Path, ctx: bytes, survivors_hash: bytes, frame_count: int, audited: int, stream: SecureStream
) -> tuple[int, ...]:
    """The frames to audit of the sum that `survivors_hash` names; what is stored of another round is replaced.

    Raises:
        ProtocolError: `sum.refused`: frames were drawn for another survivor list of this round.
        CorruptState: what is stored is damaged.
        StorageError: the disk refused.
    """
    stored = path.read_bytes() if path.exists() else b""
    if stored[:DIGEST_BYTES] != ctx:
        frames = audit.choose(frame_count, audited, stream)
        indices = b"".join(frame.to_bytes(INDEX_BYTES, "big") for frame in frames)
        durable.write(path, ctx + survivors_hash + indices)
        return frames
    if stored[DIGEST_BYTES : 2 * DIGEST_BYTES] != survivors_hash:
        raise refusal()
    indices = stored[2 * DIGEST_BYTES :]
    frames = tuple(int.from_bytes(indices[at : at + INDEX_BYTES], "big") for at in range(0, len(indices), INDEX_BYTES))
    if len(indices) != INDEX_BYTES * min(audited, frame_count) or any(frame >= frame_count for frame in frames):
        raise CorruptState("the record of the audited frames is damaged; remove the study's file 'audit'")
    return frames
