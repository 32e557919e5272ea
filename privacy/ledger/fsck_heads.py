"""Of `fsck`: the cosigned heads beside a ledger, in `cosigned/` and `seen/`, each signature of each file.

A cosignature can be checked only with the key that a signed study pins for the party that made it. What no study at
hand lets check is counted, not passed over in silence. Whether a ledger extends a head is for `compliance verify` and
for the witnesses: an older copy of the whole folder is sound in itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from privacy.errors import CorruptState
from privacy.ledger import files
from privacy.ledger.heads.cosigned import FOLDER, Party, verify
from privacy.ledger.heads.cosigner import stated
from privacy.ledger.heads.note import read_checkpoint
from privacy.ledger.heads.watch import FOLDER as SEEN
from privacy.ledger.heads.watch import FORK, NOTE, STATEMENT, file_stem


@dataclass(frozen=True)
class Looked:
    """One file: its name within the ledger's folder, whether a key to check it with was known, and what is wrong."""

    file: str
    known: bool
    wrong: str = ""


def look(directory: Path, own: Party, known: Iterable[Party]) -> Iterator[Looked]:
    """Every file of both folders; one that a stopped write left has a name that begins with a dot, and is nothing.

    Args:
        directory: the ledger's folder.
        own: whose ledger it is.
        known: the other parties, as signed studies pin them.

    Raises:
        StorageError: the disk refuses.
    """
    by_stem: dict[str, list[Party]] = {}
    for party in known:
        by_stem.setdefault(file_stem(party.uri), []).append(party)
    for folder, kinds in ((FOLDER, (NOTE, STATEMENT)), (SEEN, (NOTE, STATEMENT, FORK))):
        for path in sorted((directory / folder).iterdir()) if (directory / folder).is_dir() else ():
            if path.name.startswith("."):
                continue
            name = f"{folder}/{path.name}"
            if path.suffix not in kinds or not path.is_file() or path.is_symlink():
                yield Looked(name, True, "no file of this ledger")
                continue
            mine = folder == SEEN and path.suffix == STATEMENT
            others = [own] if mine and path.stem == file_stem(own.uri) else by_stem.get(path.stem, [])
            yield Looked(name, bool(others), _wrong(path, own, others))


def _wrong(path: Path, own: Party, others: Sequence[Party]) -> str:
    """Why the file holds for none of those whom it may be of; empty if it does, or if they are not known."""
    said = ""
    for other in others:
        try:
            _check(path, own, other)
        except CorruptState as error:
            said = str(error)
        else:
            return ""
    return said


def _check(path: Path, own: Party, other: Party) -> None:
    data = files.read_bytes(path)
    if path.suffix == STATEMENT:
        stated(data, other.uri, other.identity)
        return
    text = data.decode(errors="replace")
    if path.suffix == FORK:
        if read_checkpoint(text, other.identity).origin != other.uri:
            raise CorruptState("it is of another ledger", code="ledger.proof")
        return
    owner, witness = (own, other) if path.parent.name == FOLDER else (other, own)
    statement = files.read_bytes(path.with_name(file_stem(witness.uri) + STATEMENT))
    try:
        stated(statement, witness.uri, witness.identity)
    except CorruptState:
        # The statement is a finding of its own. Without it the owner's signature is what can be checked.
        read_checkpoint(text, owner.identity)
        return
    verify(text, statement, owner, witness)
