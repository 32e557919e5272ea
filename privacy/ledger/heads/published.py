"""The head of a growing ledger as its owner shows it: a signed checkpoint, and proofs that it extends older ones."""

from privacy.ledger.heads import note
from privacy.ledger.heads.note import Checkpoint
from privacy.ledger.store import Ledger
from privacy.ledger.tree import Frontier, consistency_proof, leaf_hash
from privacy.signer import Signer


class Published:
    """Shows a ledger's head; each entry is hashed once.

    Args:
        ledger: the open ledger.
        key: its owner's identity key.
    """

    def __init__(self, ledger: Ledger, key: Signer) -> None:
        self._ledger, self._key = ledger, key
        self._leaves: list[bytes] = []
        self._tree = Frontier()

    def head(self) -> Checkpoint:
        """The head as it is now; what else is asked is about this one until it is asked again."""
        for entry in self._ledger.entries[len(self._leaves) :]:
            leaf = leaf_hash(entry.line())
            self._leaves.append(leaf)
            self._tree.append(leaf)
        return Checkpoint(self._ledger.origin, self._tree.size, self._tree.root())

    def note(self) -> str:
        """The checkpoint, signed."""
        return note.checkpoint(self._ledger.origin, self._tree.size, self._tree.root(), self._key)

    def proof(self, size: int) -> tuple[bytes, ...] | None:
        """That the head extends the one of `size` entries; None where the ledger has no longer one to extend."""
        return consistency_proof(self._leaves, size) if 1 <= size < len(self._leaves) else None

    def root_at(self, size: int) -> bytes | None:
        """The root over the first `size` entries, or None if there are not so many."""
        entries = self._ledger.entries
        if size == len(self._leaves):
            return self._tree.root()
        return bytes.fromhex(entries[size].previous) if 0 <= size < len(self._leaves) else None
