"""An upload on disk between training and the end of its round, so that a restart sends the same bytes.

Masking or encrypting the same update a second time would leak; therefore the ciphertext is made once
and kept, and it is erased when the round has ended. It is ciphertext; the update itself is never stored.
"""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, CorruptState
from privacy.he.keyholder import Ciphertext
from privacy.wire import convert
from privacy.wire.messages import UploadHeader


@dataclass(frozen=True)
class StoredUpload:
    """The signed header, which names the round's context, and the ciphertext of one round."""

    header: Signed
    ciphertext: Ciphertext

    def store(self, folder: Path) -> None:
        """Write durably; the upload exists once its header does. Raises StorageError."""
        shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(folder)
        for index, frame in enumerate(self.ciphertext.frames):
            durable.write(folder / f"frame-{index}", frame)
        durable.write(folder / "seeds", self.ciphertext.seeds)
        durable.write(folder / "header", convert.encode_signed(self.header))

    @classmethod
    def load(cls, folder: Path, ctx: bytes, public_key: bytes) -> "StoredUpload | None":
        """The stored upload of this context, signed by our own identity key, or None.

        Raises:
            CorruptState: it is there but not what was signed.
        """
        if not (folder / "header").exists():
            return None
        try:
            signed = convert.decode_signed((folder / "header").read_bytes())
            header = convert.open_signed(signed, UploadHeader, public_key)
            if header.ctx != ctx:
                return None
            frames = tuple((folder / f"frame-{index}").read_bytes() for index in range(len(header.frame_bytes)))
            seeds = (folder / "seeds").read_bytes()
        except (OSError, CollegiumError) as error:
            raise _damaged() from error
        if tuple(sha256(frame).digest() for frame in frames) != header.frame_sha256:
            raise _damaged()
        if sha256(seeds).digest() != header.seeds_sha256:
            raise _damaged()
        return cls(signed, Ciphertext(frames, seeds))

    @staticmethod
    def erase(folder: Path) -> None:
        """Forget it: its round has ended."""
        shutil.rmtree(folder, ignore_errors=True)


def _damaged() -> CorruptState:
    return CorruptState("a stored upload is damaged; remove the study's folder 'upload', and the round is sat out")
