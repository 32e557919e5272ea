"""What the aggregator keeps on disk, each piece durable before it is acknowledged or published.

    <study>/keys/request-<silo>, grant-<receiver>
    <study>/snapshot/request-<silo>, offer-<giver>, sum/frame-<i>
    <study>/rounds/<r>/arriving-<silo>/{header,seeds,frame-<i>}   an incomplete upload, of each piece all or nothing
    <study>/rounds/<r>/upload-<silo>/{header,seeds,frame-<i>}     appears whole, by one rename
    <study>/rounds/<r>/{advertise,shares,sign,reject,unmask,close,unopenable}-<silo>, sum/frame-<i>, survivors, abandon
    <study>/rounds/<r>/set-{advertised,shared,unmasked}         who is in a frozen set

Everything is ciphertext, digests or signed messages; there is nothing here that a key of the
aggregator could open. It decides nothing: what may be stored when is for `aggregator.rounds`.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from privacy.channel.envelope import Signed
from privacy.durable import make_folder, storage_error, sync_folder, write
from privacy.errors import ProtocolError
from privacy.wire import bodies


class Incoming:
    """An upload while it arrives, piece by piece; nothing of it counts until `commit`.

    What is there, after a stop too, is whole: each piece appears by one rename.
    """

    def __init__(self, folder: Path, final: Path) -> None:
        self._folder, self._final = folder, final
        make_folder(folder)

    def put(self, name: str, data: bytes) -> None:
        """Store one piece durably. Raises StorageError."""
        write(self._folder / name, data)

    def has(self, name: str) -> bool:
        """Whether a piece is stored."""
        return (self._folder / name).exists()

    def commit(self) -> None:
        """Make the upload part of the round by one rename. Raises StorageError."""
        try:
            self._folder.rename(self._final)
            sync_folder(self._final.parent)
        except OSError as error:
            raise storage_error(error) from error


class RoundStore:
    """The folder of one round."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder(folder)

    def incoming(self, silo: int) -> Incoming:
        """The place of a silo's arriving upload, with what came of it before."""
        return Incoming(self._folder / f"arriving-{silo}", self._folder / f"upload-{silo}")

    def arriving(self) -> Iterator[tuple[int, Signed]]:
        """Uploads that were begun and are not complete, by silo index, with their signed headers."""
        for header in sorted(self._folder.glob("arriving-*/header")):
            silo = int(header.parent.name.removeprefix("arriving-"))
            yield silo, bodies.decode_signed(header.read_bytes())

    def clear_arriving(self) -> None:
        """Forget what is arriving: the round takes no more."""
        for folder in self._folder.glob("arriving-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def uploads(self) -> Iterator[tuple[int, Signed]]:
        """Complete uploads by silo index, with their signed headers."""
        for folder in sorted(self._folder.glob("upload-*")):
            yield int(folder.name.removeprefix("upload-")), bodies.decode_signed((folder / "header").read_bytes())

    def frame(self, silo: int, index: int) -> bytes:
        """One stored frame of an upload. Raises ProtocolError when it is no longer kept."""
        return _kept(self._folder / f"upload-{silo}" / f"frame-{index}")

    def seeds(self, silo: int) -> bytes:
        """The stored encryption seeds of an upload."""
        return (self._folder / f"upload-{silo}" / "seeds").read_bytes()

    def put_sum(self, index: int, frame: bytes) -> None:
        """Store one frame of the sum durably."""
        make_folder(self._folder / "sum")
        write(self._folder / "sum" / f"frame-{index}", frame)

    def sum_frame(self, index: int) -> bytes:
        """One stored frame of the sum. Raises ProtocolError when it is no longer kept."""
        return _kept(self._folder / "sum" / f"frame-{index}")

    def sum_frames(self) -> frozenset[int]:
        """Which frames are stored."""
        return frozenset(int(path.name.removeprefix("frame-")) for path in self._folder.glob("sum/frame-*"))

    def put(self, name: str, message: Signed) -> None:
        """Store a signed message durably under a name such as `sign-2`."""
        write(self._folder / name, bodies.encode_signed(message))

    def drop(self, name: str) -> None:
        """Forget a stored message durably, if it is there. Raises StorageError."""
        try:
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)
        except OSError as error:
            raise storage_error(error) from error

    def get(self, name: str) -> Signed | None:
        """A stored message, or None."""
        path = self._folder / name
        return bodies.decode_signed(path.read_bytes()) if path.exists() else None

    def all(self, kind: str) -> Iterator[tuple[int, Signed]]:
        """All stored messages `<kind>-<silo>`, by silo."""
        for path in sorted(self._folder.glob(f"{kind}-*")):
            if path.is_file():
                yield int(path.name.removeprefix(f"{kind}-")), bodies.decode_signed(path.read_bytes())

    def keep_sets(self, frozen: Mapping[str, tuple[int, ...]]) -> None:
        """Store durably, once, who is in each frozen set."""
        for name, silos in frozen.items():
            path = self._folder / f"set-{name}"
            if not path.exists():
                write(path, json.dumps(silos).encode())

    def get_set(self, name: str) -> tuple[int, ...] | None:
        """Who is in a frozen set, or None when it was never frozen."""
        path = self._folder / f"set-{name}"
        return tuple(int(silo) for silo in json.loads(path.read_bytes())) if path.exists() else None

    def scrub(self) -> None:
        """Drop all ciphertext frames, once no silo needs them to check and open the sum; headers and seeds stay."""
        for frame in (*self._folder.glob("upload-*/frame-*"), *self._folder.glob("sum/frame-*")):
            frame.unlink()


class StudyStore:
    """All that is kept of one study."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder(folder)
        self.keys = RoundStore(folder / "keys")
        self.snapshot = RoundStore(folder / "snapshot")

    def clear_torn(self) -> None:
        """Forget what was being written when a process was killed; only while no other writes. Raises StorageError."""
        try:
            for torn in self._folder.rglob(".*"):
                torn.unlink()
        except OSError as error:
            raise storage_error(error) from error

    def round(self, number: int) -> RoundStore:
        """The store of a round, made when it is first asked for."""
        return RoundStore(self._folder / "rounds" / f"{number:06d}")

    def newest(self, silo: int, silos: int) -> tuple[Signed | None, Signed | None, tuple[Signed, ...]]:
        """The newest Close and Advertise of one silo of `silos`, and the newest Close of every other that has any."""
        others = (self._newest(f"close-{index}") for index in range(1, silos + 1) if index != silo)
        return (
            self._newest(f"close-{silo}"),
            self._newest(f"advertise-{silo}"),
            tuple(message for message in others if message is not None),
        )

    def _newest(self, name: str) -> Signed | None:
        paths = sorted((self._folder / "rounds").glob(f"[0-9]*/{name}"))
        return bodies.decode_signed(paths[-1].read_bytes()) if paths else None

    def last_round(self) -> int:
        """The highest round that was ever opened, or 0."""
        numbers = [int(path.name) for path in (self._folder / "rounds").glob("[0-9]*")]
        return max(numbers, default=0)


def _kept(frame: Path) -> bytes:
    try:
        return frame.read_bytes()
    except FileNotFoundError as error:
        raise ProtocolError(
            "the ciphertext of this round is no longer kept, as every silo has applied its sum or the round was "
            "abandoned; restore a newer state",
            code="sum.gone",
        ) from error
