"""The Merkle tree of RFC 9162 (section 2.1): roots, inclusion and consistency proofs, and their checks.

Pure functions over 32-byte leaf hashes, and `Frontier`, the compact range that makes an append cost
O(log n) hashes. It knows nothing of entries, files or signatures.
"""

import hashlib
from collections.abc import Sequence

from privacy.errors import CorruptState

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves (RFC 9162 section 2.1.1)."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees of a growing tree, largest first: enough to append and to give the root."""

    def __init__(self) -> None:
        self._size = 0
        self._peaks: list[bytes] = []

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def copy(self) -> "Frontier":
        """A frontier that grows on its own."""
        twin = Frontier()
        twin._size, twin._peaks = self._size, list(self._peaks)
        return twin

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash (32 bytes)."""
        node, carry = leaf, self._size
        while carry & 1:
            node, carry = node_hash(self._peaks.pop(), node), carry >> 1
        self._peaks.append(node)
        self._size += 1

    def root(self) -> bytes:
        """The root of all leaves so far, 32 bytes."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (RFC 9162 section 2.1.1), 32 bytes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index`, nearest sibling first (RFC 9162 section 2.1.3.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError("no such leaf")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if index < split:
        return (*inclusion_proof(leaves[:split], index), root(leaves[split:]))
    return (*inclusion_proof(leaves[split:], index - split), root(leaves[:split]))


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Proof that the first `old_size` leaves are a prefix of all (RFC 9162 section 2.1.4.1).

    Raises:
        ValueError: `old_size` is not in 1..len(leaves).
    """
    if not 1 <= old_size <= len(leaves):
        raise ValueError("an older tree has from 1 leaf to as many as the newer one")
    return _subproof(leaves, old_size, whole=True)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Check an audit path (RFC 9162 section 2.1.3.2).

    Raises:
        CorruptState: the leaf is not at `index` of the tree of `size` leaves with this root.
    """
    if not 0 <= index < size:
        raise CorruptState("the proof is for an entry beyond the tree", code="ledger.proof")
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise CorruptState("the inclusion proof is too long", code="ledger.proof")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or node != expected_root:
        raise CorruptState("the inclusion proof does not lead to this root", code="ledger.proof")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the newer tree extends the older one (RFC 9162 section 2.1.4.2).

    Raises:
        CorruptState: it does not, or the proof does not show it.
    """
    if not 1 <= old_size <= new_size:
        raise CorruptState("the newer tree is smaller than the older one", code="ledger.proof")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise CorruptState("two trees of one size have different roots", code="ledger.proof")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise CorruptState("the consistency proof is empty", code="ledger.proof")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise CorruptState("the consistency proof is too long", code="ledger.proof")
        if position & 1 or position == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or old_node != old_root or new_node != new_root:
        raise CorruptState("the newer tree does not extend the older one", code="ledger.proof")


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> tuple[bytes, ...]:
    if old_size == len(leaves):
        return () if whole else (root(leaves),)
    split = _split(len(leaves))
    if old_size <= split:
        return (*_subproof(leaves[:split], old_size, whole=whole), root(leaves[split:]))
    return (*_subproof(leaves[split:], old_size - split, whole=False), root(leaves[:split]))
