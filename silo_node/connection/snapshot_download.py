"""A snapshot while it is downloaded: checked frames of one offer in a folder, where a later start finds them again.

Which offer is to be believed was decided before; what the frames hold is not opened here.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from privacy import durable
from privacy.errors import ProtocolError
from privacy.wire.snapshots import SnapshotOffer


class SnapshotFrames:
    """The frames of `offer` in `folder`, as `frame-<i>`.

    Attributes:
        stored: how many are there; of another offer's, each is replaced when its turn comes.
    """

    def __init__(self, offer: SnapshotOffer, folder: Path) -> None:
        self._digests, self._folder = offer.frame_sha256, folder
        durable.make_folder(folder)
        self.stored = 0
        for digest in self._digests:
            path = self._path()
            if not path.exists() or hashlib.sha256(path.read_bytes()).digest() != digest:
                break
            self.stored += 1

    def take(self, frames: Iterable[bytes]) -> None:
        """Keep the frames from the first that is missing to the last, each once it was compared.

        Raises:
            ProtocolError: `snapshot.altered`: a frame is not what was offered; `snapshot.gone`: they end too early.
        """
        for frame in frames:
            if self.stored == len(self._digests) or hashlib.sha256(frame).digest() != self._digests[self.stored]:
                raise ProtocolError("a snapshot is not the one that was offered", code="snapshot.altered")
            durable.write(self._path(), frame)
            self.stored += 1
        if self.stored < len(self._digests):
            raise ProtocolError("a snapshot ended before its last frame; ask again", code="snapshot.gone")

    def _path(self) -> Path:
        return self._folder / f"frame-{self.stored}"
