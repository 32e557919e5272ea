"""A round's secrets on memory-backed storage: they survive a killed process, not a reboot and not a backup.

Kept until the step that erases them: own b, k, c until the upload is stored; shares held of others until
those for one survivor list are chosen; that choice until the round ends. What is erased is overwritten
first; that a kernel never wrote the page elsewhere is not promised (SECURITY.md).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.errors import ConfigError, CorruptState
from privacy.secagg.held_shares import HeldShares
from privacy.secagg.round_keys import RoundSecrets
from privacy.wire import bodies

MEMORY = Path("/dev/shm")  # noqa: S108 - memory-backed on purpose; the folder below it is ours alone


def default_folder(state: Path) -> Path:
    """A folder of this state directory on memory-backed storage.

    Raises:
        ConfigError: this system has none at the usual place.
    """
    if not MEMORY.is_dir():
        raise ConfigError("there is no /dev/shm for a round's secrets; name a memory-backed folder with --runtime")
    name = hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:32]
    return MEMORY / f"collegium-{os.getuid()}-{name}"


@dataclass(frozen=True)
class RoundVault:
    """The secrets of the round whose context is `ctx`; whatever is of another round is erased at first sight."""

    folder: Path
    ctx: bytes

    def __post_init__(self) -> None:
        durable.make_folder(self.folder)
        if not self.is_of(self.folder, self.ctx):
            self.clear(self.folder)
            durable.write(self.folder / "ctx", self.ctx)

    @staticmethod
    def is_of(folder: Path, ctx: bytes) -> bool:
        """Whether what is here is of this round."""
        mark = folder / "ctx"
        return mark.exists() and mark.read_bytes() == ctx

    @staticmethod
    def shows_untrained(folder: Path, ctx: bytes) -> bool:
        """Whether what is here is of this round and from before its training; nothing here shows nothing.

        Ask before a vault is made, which marks the folder as of its round. No backup has this folder: it is never old.
        """
        return RoundVault.is_of(folder, ctx) and not (folder / "trained").exists()

    def training_begins(self) -> None:
        """Mark that patients may be read for this round from now on."""
        durable.write(self.folder / "trained", b"")

    def keep_secrets(self, secrets: RoundSecrets) -> None:
        """Store b, k and c."""
        durable.write(self.folder / "secrets", secrets.to_bytes())

    def secrets(self) -> RoundSecrets | None:
        """The stored b, k and c, if they are still there.

        Raises:
            CorruptState: they are damaged.
        """
        data = self._read("secrets")
        try:
            return None if data is None else RoundSecrets.from_bytes(data)
        except ValueError as error:
            raise CorruptState("the secrets of this round are damaged; the round is sat out") from error

    def keep_message(self, name: str, message: Signed) -> None:
        """Store a signed message before it is sent, so that a repeat is the same bytes."""
        durable.write(self.folder / name, bodies.encode_signed(message))

    def message(self, name: str) -> Signed | None:
        """A stored message."""
        data = self._read(name)
        return None if data is None else bodies.decode_signed(data)

    def keep_held(self, held: HeldShares) -> None:
        """Store the shares held of others."""
        durable.write(self.folder / "held", held.to_bytes())

    def held(self) -> HeldShares | None:
        """The stored shares.

        Raises:
            CorruptState: they are damaged.
        """
        data = self._read("held")
        try:
            return None if data is None else HeldShares.from_bytes(data)
        except ValueError as error:
            raise CorruptState("the shares held for this round are damaged; the round is sat out") from error

    def forget_secrets(self) -> None:
        """Erase b, k and c: the upload is stored."""
        self._forget("secrets")

    def forget_held(self) -> None:
        """Erase all held shares: those for the one survivor list are in the stored Unmask."""
        self._forget("held")

    @staticmethod
    def clear(folder: Path) -> None:
        """Erase everything: the round has ended."""
        for path in folder.glob("*"):
            durable.destroy(path)

    def _read(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def _forget(self, name: str) -> None:
        path = self.folder / name
        if path.exists():
            durable.destroy(path)
