"""What a witness remembers of others' ledgers: of each the newest head that it cosigned, with the owner's signature.

The folder `seen/` in the witness's own ledger: `<role>-<name>.note` a ledger, durable before the cosignature goes
out. A head is cosigned only with a proof that it extends the one before (RFC 9162 section 2.1.4); the first of a
ledger is believed. A second head of one size, signed by the owner, is proof of a fork for everybody and kept beside
it as `<role>-<name>.fork`. Who may show a head, and how it travels, is not known here. Source: c2sp.org/tlog-witness.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from privacy import durable
from privacy.errors import CorruptState
from privacy.ledger.heads.cosignature import CosigningKeys, cosign
from privacy.ledger.heads.cosigner import state
from privacy.ledger.heads.note import MAX_NOTE, Checkpoint, read_checkpoint
from privacy.ledger.heads.witness import ROLLED_BACK
from privacy.ledger.tree import verify_consistency

FOLDER: Final = "seen"
NOTE, STATEMENT, FORK = ".note", ".cosigner", ".fork"
FORKED: Final = "ledger.forked"
UNPROVEN: Final = "ledger.unproven"
DAMAGED: Final = "ledger.seen"
MAX_COSIGNED: Final = 8192
"""A note with the cosignature of one witness has at most so many bytes."""


def file_stem(origin: str) -> str:
    """The name of a party's files: role and name of its SPIFFE ID, which are no path."""
    role, name = origin.rsplit("/", 2)[1:]
    return f"{role}-{name}"


class Watch:
    """One witness.

    Args:
        ledger: folder of the witness's own ledger.
        keys: the witness's.
    """

    def __init__(self, ledger: Path, keys: CosigningKeys) -> None:
        self._folder, self._keys = ledger / FOLDER, keys
        durable.make_folder(self._folder)
        self._publish_statement()

    def held(self, origin: str, key: bytes) -> Checkpoint | None:
        """The newest head of a ledger that was cosigned here, or None.

        Args:
            origin: whose ledger it is, SPIFFE ID.
            key: its Ed25519 public key, 32 bytes.

        Raises:
            CorruptState: `ledger.seen`: what was kept is damaged.
        """
        note = self.note(origin)
        try:
            return None if note is None else _read(note, origin, key)
        except CorruptState as error:
            raise CorruptState(
                f"what was cosigned here of {origin.rsplit('/', 1)[-1]} is damaged, so it is cosigned no more; put "
                f"'{FOLDER}/{file_stem(origin)}{NOTE}' of the ledger's folder back from a backup",
                code=DAMAGED,
            ) from error

    def note(self, origin: str) -> str | None:
        """The same as a note with this witness's cosignature."""
        path = self._folder / (file_stem(origin) + NOTE)
        return path.read_bytes().decode(errors="replace") if path.exists() else None

    def cosign(self, origin: str, key: bytes, shown: str, proof: Sequence[bytes] | None, at: int) -> str:
        """Cosign a head that extends what is held; the note with the cosignature, durable when this returns.

        Args:
            origin: whose ledger it is, SPIFFE ID.
            key: its Ed25519 public key, 32 bytes.
            shown: the owner's checkpoint.
            proof: that it extends the head that is held, or None if there is none.
            at: now, in seconds since the epoch.

        Raises:
            CorruptState: `ledger.rolled_back`: smaller than what is held; `ledger.forked`: another head of that size;
                `ledger.unproven`: no proof; `ledger.proof`: a wrong one, or no checkpoint of this ledger;
                `ledger.seen`: what is held is damaged.
            StorageError: it cannot be remembered.
        """
        if len(shown.encode()) > MAX_NOTE:
            raise CorruptState("a checkpoint is longer than its limit", code="ledger.proof")
        head, held = _read(shown, origin, key), self.held(origin, key)
        if head.size < 1:
            raise CorruptState("a checkpoint of no entry is not cosigned", code="ledger.proof")
        if held is not None:
            if head == held:
                return self.note(origin) or shown
            self._check(origin, shown, head, held, proof)
        cosigned = shown + cosign(head, self._keys, at)
        durable.write(self._folder / (file_stem(origin) + NOTE), cosigned.encode())
        return cosigned

    def _check(
        self, origin: str, shown: str, head: Checkpoint, held: Checkpoint, proof: Sequence[bytes] | None
    ) -> None:
        name = origin.rsplit("/", 1)[-1]
        if head.size < held.size:
            raise CorruptState(
                f"the ledger of {name} had {held.size} entries when it was cosigned, and has fewer: it was put back, "
                "or an old head was shown",
                code=ROLLED_BACK,
            )
        if head.size == held.size:
            durable.write(self._folder / (file_stem(origin) + FORK), shown.encode())
            raise CorruptState(f"{name} signed two different ledgers of {head.size} entries", code=FORKED)
        if proof is None:
            raise CorruptState(f"there is no proof that the ledger of {name} extends what was cosigned", code=UNPROVEN)
        verify_consistency(held.size, held.root, head.size, head.root, proof)

    def _publish_statement(self) -> None:
        path, data = self._folder / (file_stem(self._keys.name) + STATEMENT), state(self._keys)
        if not path.exists() or path.read_bytes() != data:
            durable.write(path, data)


def _read(note: str, origin: str, key: bytes) -> Checkpoint:
    head = read_checkpoint(note, key)
    if head.origin != origin:
        raise CorruptState("a checkpoint is of another ledger", code="ledger.proof")
    return head
