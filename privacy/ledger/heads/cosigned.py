"""The heads of a ledger that others cosigned: of each witness the newest, beside the ledger, with its key's statement.

The folder `cosigned/`: `<role>-<name>.note`, the owner's checkpoint with both cosignatures of one witness, and
`<role>-<name>.cosigner`. Whether the ledger extends such a head is for who has the ledger. Nothing here is secret.

Every party meets the same bytes again in each exchange of heads. What was verified is remembered, by all that it was
verified from, here and in what this calls; what did not hold is looked at anew each time.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from privacy import durable
from privacy.errors import CorruptState
from privacy.ledger.heads.cosignature import cosigned_at
from privacy.ledger.heads.cosigner import stated
from privacy.ledger.heads.note import Checkpoint, read_checkpoint
from privacy.ledger.heads.watch import MAX_COSIGNED, NOTE, STATEMENT, file_stem

FOLDER: Final = "cosigned"


@dataclass(frozen=True)
class Party:
    """A member: SPIFFE ID and Ed25519 identity key (32 bytes), as a roster pins it."""

    uri: str
    identity: bytes


@dataclass(frozen=True)
class Cosigned:
    """A head that a witness cosigned at `at`, in seconds since the epoch."""

    checkpoint: Checkpoint
    witness: str
    at: int


@lru_cache(maxsize=256)
def verify(note: str, statement: bytes, owner: Party, witness: Party) -> Cosigned:
    """Check the owner's signature, both cosignatures and the statement about the witness's key.

    Raises:
        CorruptState: one of them does not hold, or is not about the other.
    """
    if len(note.encode()) > MAX_COSIGNED:
        raise CorruptState("a cosigned checkpoint is longer than its limit", code="ledger.cosignature")
    checkpoint = read_checkpoint(note, owner.identity)
    if checkpoint.origin != owner.uri:
        raise CorruptState("a cosigned checkpoint is of another ledger", code="ledger.cosignature")
    at = cosigned_at(note, checkpoint, stated(statement, witness.uri, witness.identity))
    return Cosigned(checkpoint, witness.uri, at)


class Shelf:
    """The cosigned heads of one ledger on the disk.

    Args:
        ledger: the ledger's folder.
        owner: whose ledger it is.
    """

    def __init__(self, ledger: Path, owner: Party) -> None:
        self._folder, self._owner = ledger / FOLDER, owner

    def size(self, witness: Party) -> int:
        """How many entries the newest head has that the witness cosigned; 0 if there is none that holds."""
        note, statement = (self._folder / (file_stem(witness.uri) + suffix) for suffix in (NOTE, STATEMENT))
        if not note.exists() or not statement.exists():
            return 0
        try:
            text = note.read_bytes().decode(errors="replace")
            return verify(text, statement.read_bytes(), self._owner, witness).checkpoint.size
        except CorruptState:
            return 0  # replaced by the next one that holds

    def keep(self, note: str, statement: bytes, witness: Party) -> Cosigned:
        """Verify a head that the witness cosigned, and keep it if it is its newest; durable when this returns.

        Raises:
            CorruptState: as `verify`.
            StorageError: the disk refuses.
        """
        found = verify(note, statement, self._owner, witness)
        if found.checkpoint.size > self.size(witness):
            durable.make_folder(self._folder)
            stem = file_stem(witness.uri)
            durable.write(self._folder / (stem + STATEMENT), statement)
            durable.write(self._folder / (stem + NOTE), note.encode())
        return found
