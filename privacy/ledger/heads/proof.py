"""A proof that one entry is in a ledger, as a file that needs nothing else: C2SP `.tlog-proof` with the entry in it.

The file holds the entry's line (as the format's extra data), its number, the audit path and a checkpoint of
the whole ledger with the party's signature, to which witnesses may have added theirs. Whoever knows the party's public
key checks it offline. It does not show that the party shows everybody the same ledger: that takes witnesses.
Source: c2sp.org/tlog-proof.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import CorruptState
from privacy.ledger.entry import Entry
from privacy.ledger.heads.note import Checkpoint, decode, encode, read_checkpoint
from privacy.ledger.line import parse
from privacy.ledger.tree import inclusion_proof, leaf_hash, verify_inclusion

MAGIC = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_BYTES = 256 * 1024
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,17})")
_LONGEST_PATH = 64


@dataclass(frozen=True)
class Proven:
    """An entry, and the checkpoint of the ledger that it was shown to be in."""

    entry: Entry
    checkpoint: Checkpoint


def make(entries: Sequence[Entry], sequence: int, checkpoint: str) -> str:
    """The proof file of an entry.

    Args:
        entries: the whole ledger, as the checkpoint has it.
        sequence: number of the entry.
        checkpoint: the signed note over these entries, with as many cosignatures as there are.

    Raises:
        ValueError: there is no such entry.
    """
    leaves = [leaf_hash(entry.line()) for entry in entries]
    path = inclusion_proof(leaves, sequence)
    lines = [
        MAGIC,
        f"extra {encode(entries[sequence].line())}",
        f"index {sequence}",
        *map(encode, path),
        "",
        checkpoint,
    ]
    return "\n".join(lines)


def verify(text: str, key: bytes) -> Proven:
    """Check a proof file, entry, path, checkpoint and both signatures.

    Args:
        text: the file.
        key: the Ed25519 public key of the party whose ledger it is, 32 bytes, known from elsewhere.

    Raises:
        CorruptState: it is no proof, or not one under this key.
    """
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    index = _INDEX.fullmatch(lines[2]) if len(lines) >= 3 else None
    if len(text) > MAX_BYTES or not blank or index is None or lines[0] != MAGIC or not lines[1].startswith("extra "):
        raise CorruptState("this file is no proof of a ledger entry", code="ledger.proof")
    line, sequence = decode(lines[1].removeprefix("extra ")), int(index[1])
    path = [decode(one) for one in lines[3:]]
    if len(path) > _LONGEST_PATH or any(len(node) != 32 for node in path):
        raise CorruptState("this file is no proof of a ledger entry", code="ledger.proof")
    checkpoint = read_checkpoint(note, key)
    verify_inclusion(leaf_hash(line), sequence, checkpoint.size, path, checkpoint.root)
    entry = parse(line, sequence)
    entry.verify(checkpoint.origin, Ed25519PublicKey.from_public_bytes(key))
    return Proven(entry, checkpoint)
