"""An upload on disk between training and the end of its round, so that a restart sends the same bytes.

Masking or encrypting the same update a second time would leak; therefore the ciphertext is made once
and kept, and it is erased when the round has ended. It is ciphertext; the update itself is never stored.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.errors import CorruptState
from privacy.he.keyholder import Ciphertext
from privacy.wire import convert


@dataclass(frozen=True)
class StoredUpload:
    """The signed header and the ciphertext of one round, whose context is `ctx`."""

    header: Signed
    ciphertext: Ciphertext
    ctx: bytes

    def store(self, folder: Path) -> None:
        """Write durably; the upload exists once its header does. Raises StorageError."""
        shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(folder)
        for index, frame in enumerate(self.ciphertext.frames):
            durable.write(folder / f"frame-{index}", frame)
        durable.write(folder / "seeds", self.ciphertext.seeds)
        durable.write(folder / "ctx", self.ctx)
        durable.write(folder / "header", convert.encode_signed(self.header))

    @classmethod
    def load(cls, folder: Path, ctx: bytes) -> "StoredUpload | None":
        """The stored upload of this context, or None.

        Raises:
            CorruptState: it is there but incomplete.
        """
        if not (folder / "header").exists() or (folder / "ctx").read_bytes() != ctx:
            return None
        try:
            count = len(list(folder.glob("frame-*")))
            frames = tuple((folder / f"frame-{index}").read_bytes() for index in range(count))
            header = convert.decode_signed((folder / "header").read_bytes())
            return cls(header, Ciphertext(frames, (folder / "seeds").read_bytes()), ctx)
        except OSError as error:
            raise CorruptState(
                "a stored upload is damaged; the round is sat out after its folder is removed"
            ) from error

    @staticmethod
    def erase(folder: Path) -> None:
        """Forget it: its round has ended."""
        shutil.rmtree(folder, ignore_errors=True)
