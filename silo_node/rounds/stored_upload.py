"""An upload on disk between training and the end of its round, so that a restart sends the same bytes.

Masking or encrypting the same update a second time would leak; therefore the ciphertext is made once
and kept, and it is erased when the round has ended. It is ciphertext; the update itself is never stored.
Frames are written and read one at a time: a large model is never in memory a second time.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, CorruptState
from privacy.secagg.mac import Residues
from privacy.secagg.masked import MaskedFrame
from privacy.wire import bodies
from privacy.wire.messages import UploadHeader
from privacy.wire.requests import Piece


class UnsignedUpload:
    """An upload while it is made; it does not exist before `sign`. Every method may raise StorageError."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(folder)
        self._folder = folder
        self._seeds: list[bytes] = []
        self._sizes: list[int] = []
        self._digests: list[bytes] = []
        self._residues: list[Residues] = []

    def add(self, frame: MaskedFrame) -> None:
        """Store the next frame."""
        durable.write(self._folder / f"frame-{len(self._sizes)}", frame.wire)
        self._seeds.append(frame.seeds)
        self._sizes.append(len(frame.wire))
        self._digests.append(frame.digest)
        self._residues.append(frame.mac)

    @property
    def seeds(self) -> bytes:
        """The seeds of all ciphertexts, in order."""
        return b"".join(self._seeds)

    @property
    def frame_bytes(self) -> tuple[int, ...]:
        """Bytes of each frame."""
        return tuple(self._sizes)

    @property
    def frame_sha256(self) -> tuple[bytes, ...]:
        """SHA-256 of each frame."""
        return tuple(self._digests)

    @property
    def residues(self) -> tuple[Residues, ...]:
        """Each frame's part of the MAC."""
        return tuple(self._residues)

    def sign(self, header: Signed) -> "StoredUpload":
        """Store the seeds and, last, the signed header: from here on the upload exists."""
        durable.write(self._folder / "seeds", self.seeds)
        durable.write(self._folder / "header", bodies.encode_signed(header))
        return StoredUpload(header, self._folder, len(self._sizes))


@dataclass(frozen=True)
class StoredUpload:
    """The signed header, which names the round's context, and where its ciphertext lies."""

    header: Signed
    folder: Path
    frame_count: int

    @property
    def seeds(self) -> bytes:
        """The seeds of all ciphertexts, in order."""
        return (self.folder / "seeds").read_bytes()

    def frames(self) -> Iterator[bytes]:
        """The frames, in order."""
        return ((self.folder / f"frame-{index}").read_bytes() for index in range(self.frame_count))

    def pieces(self, first: int = 0) -> Iterator[Piece]:
        """The seeds, then the frames, from the piece numbered `first` on."""
        for number in range(first, 1 + self.frame_count):
            yield Piece(number, (self.folder / f"frame-{number - 1}").read_bytes() if number else self.seeds)

    @classmethod
    def load(cls, folder: Path, ctx: bytes, public_key: bytes) -> "StoredUpload | None":
        """The stored upload of this context, signed by our own identity key, or None.

        Raises:
            CorruptState: it is there but not what was signed.
        """
        if not (folder / "header").exists():
            return None
        try:
            signed = bodies.decode_signed((folder / "header").read_bytes())
            header = bodies.open_signed(signed, UploadHeader, public_key)
            if header.ctx != ctx:
                return None
            upload = cls(signed, folder, len(header.frame_bytes))
            digests = tuple(sha256(frame).digest() for frame in upload.frames())
            whole = digests == header.frame_sha256 and sha256(upload.seeds).digest() == header.seeds_sha256
        except (OSError, CollegiumError) as error:
            raise _damaged() from error
        if not whole:
            raise _damaged()
        return upload

    @staticmethod
    def erase(folder: Path) -> None:
        """Forget it: its round has ended."""
        shutil.rmtree(folder, ignore_errors=True)


def _damaged() -> CorruptState:
    return CorruptState("a stored upload is damaged; remove the study's folder 'upload', and the round is sat out")
