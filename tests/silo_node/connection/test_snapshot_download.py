"""A snapshot goes on where it broke, and none of its frames is kept that was not offered."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.errors import ProtocolError, Unreachable
from privacy.wire.snapshots import FRAME_BYTES, SnapshotOffer
from silo_node.connection.snapshot_download import SnapshotFrames

FRAMES = (b"a" * FRAME_BYTES, b"b" * FRAME_BYTES, b"c" * 100)


def offer(frames: tuple[bytes, ...] = FRAMES) -> SnapshotOffer:
    size = sum(len(frame) - 16 for frame in frames)
    digests = tuple(hashlib.sha256(frame).digest() for frame in frames)
    return SnapshotOffer(bytes(32), 4, 1, bytes(32), bytes(32), size, digests)


def test_a_download_goes_on_where_it_broke_also_after_a_restart(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield FRAMES[0]
        raise Unreachable("the line broke")

    frames = SnapshotFrames(offer(), tmp_path)
    with pytest.raises(Unreachable):
        frames.take(breaking())
    assert frames.stored == 1
    frames.take(FRAMES[1:])
    assert frames.stored == 3
    (tmp_path / "frame-1").write_bytes(b"torn")
    again = SnapshotFrames(offer(), tmp_path)
    assert again.stored == 1
    again.take(FRAMES[1:])
    assert tuple((tmp_path / f"frame-{index}").read_bytes() for index in range(3)) == FRAMES


def test_frames_of_another_offer_are_fetched_again(tmp_path: Path) -> None:
    SnapshotFrames(offer(), tmp_path).take(FRAMES)
    newer = (b"n" * FRAME_BYTES, b"c" * 100)
    frames = SnapshotFrames(offer(newer), tmp_path)
    assert frames.stored == 0
    frames.take(newer)
    assert tuple((tmp_path / f"frame-{index}").read_bytes() for index in range(2)) == newer


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ((FRAMES[0], FRAMES[2]), "snapshot.altered"),
        ((*FRAMES, b"more"), "snapshot.altered"),
        (FRAMES[:2], "snapshot.gone"),
        ((), "snapshot.gone"),
    ],
    ids=["another frame", "a frame too many", "too few", "none"],
)
def test_other_frames_than_offered_are_refused_before_they_are_kept(
    tmp_path: Path, frames: tuple[bytes, ...], code: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        SnapshotFrames(offer(), tmp_path).take(frames)
    assert caught.value.code == code
    kept = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert kept == list(FRAMES[: len(kept)])
