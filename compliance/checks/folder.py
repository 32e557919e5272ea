"""The folder as such: that nothing else lies in it, that the record has its one form, who signed it, and the pages.

Page and print are made again and compared byte for byte, so they say what the record says. Figures are not looked at.
"""

import hashlib
import json
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from compliance import bundle, printing, publication
from compliance.canonical import canonical
from compliance.checks.check import Check, conclude
from compliance.cosignatures import FOLDERS
from compliance.report import FORMAT
from privacy import regular
from privacy.configuration import MAX_BYTES, parse
from privacy.errors import CorruptState
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, VERSION
from privacy.roster import fingerprint
from privacy.study import SignedStudy, dump

_LEDGER = "|".join(map(re.escape, (VERSION, ORIGIN, ENTRIES, HEAD)))
_OWN: Final = re.compile(
    rf"{bundle.EVIDENCE}/(?:{bundle.STUDIES}/[a-z][a-z0-9-]*\.yaml|[a-z][a-z0-9-]*/ledger/(?:{_LEDGER}"
    rf"|(?:{'|'.join(FOLDERS)})/{bundle.COSIGNED.pattern}))"
    rf"|{bundle.SIGNATURES}/[0-9]{{3}}\.json"
)
_TOP: Final = {bundle.RECORD, bundle.PAGE, bundle.PRINT, bundle.PREVIOUS}
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Record:
    """A report's record: its bytes, what they say, and when it says it was made."""

    data: bytes
    content: dict[str, Any]
    made_at: datetime

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()


def read_record(directory: Path) -> Record:
    """The record, in its one form.

    Raises:
        CorruptState: there is none, or one that was not written so.
    """
    try:
        data = regular.read(directory / bundle.RECORD, bundle.MAX_RECORD + 1)
        content = json.loads(data) if len(data) <= bundle.MAX_RECORD else None
        if isinstance(content, dict) and content.get("format") == FORMAT and canonical(content) == data:
            made_at = datetime.strptime(str(content.get("made_at")), _TIME).replace(tzinfo=UTC)
            return Record(data, content, made_at)
    except (OSError, ValueError, RecursionError) as error:
        raise _no_record() from error
    raise _no_record()


def files(directory: Path) -> Check:
    """Nothing but the files of a report lies in the folder."""

    def foreign() -> Iterator[str]:
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory).as_posix()
            mode = path.lstat().st_mode
            known = name in _TOP or _OWN.fullmatch(name) is not None
            if not stat.S_ISDIR(mode) and not (known and stat.S_ISREG(mode)):
                yield f"{name} does not belong to a report"

    return conclude("files", foreign())


def signatures(directory: Path, record: Record, wanted: Collection[str]) -> Check:
    """Each signature is under this record, and each person whose key's fingerprint is `wanted` signed."""
    found = bundle.signatures(directory, record.data)
    missing = [
        f"no signature is by the key {key}"
        for key in wanted
        if key not in {signature.fingerprint for signature in found}
    ]
    unknown = [
        f"'{signature.name}' ({signature.meaning.value}) has a key that you did not name: {signature.fingerprint}"
        for signature in found
        if signature.fingerprint not in wanted
    ]
    return conclude("signatures", missing, unknown if found else ["nobody signed this report"], f"{len(found)} people")


def studies(directory: Path, consortium_key: str | None) -> Check:
    """Each study is signed by the consortium, and its file has no byte that the signature does not cover.

    Args:
        directory: of the report.
        consortium_key: fingerprint of the key that the person knows, or None.
    """
    problems, signers = [], set[str]()
    paths = sorted((directory / bundle.EVIDENCE / bundle.STUDIES).glob("*"))
    for path in paths:
        data = _data(path, MAX_BYTES + 1)
        signed = parse(data, SignedStudy, name=path.name)
        signer = fingerprint(bytes.fromhex(signed.signature.key))
        signers.add(signer)
        if dump(signed).encode() != data:
            problems.append(f"{path.name} has bytes that its signature does not cover")
        if consortium_key is not None and signer != consortium_key:
            problems.append(f"{path.name} is signed by another key than the consortium's: {signer}")
    gaps = [] if paths else ["there is no signed study"]
    if consortium_key is None:
        gaps += [f"whose key it is that signed the studies; ask the consortium for its own: {one}" for one in signers]
    return conclude("consortium's key", problems, gaps, f"{len(paths)} studies")


def page(directory: Path, record: Record) -> Check:
    """The page is what the record and the signatures make."""
    made = publication.page(record.content, bundle.signatures(directory, record.data)).encode()
    path = directory / bundle.PAGE
    if not path.is_file():
        return conclude("page", [f"{bundle.PAGE} is missing"])
    return conclude("page", [] if _data(path, len(made) + 1) == made else [_other(bundle.PAGE)])


def printed(directory: Path, record: Record) -> Check:
    """The print is what the page makes, byte for byte, where WeasyPrint and the fonts are the same."""
    path = directory / bundle.PRINT
    if not path.is_file():
        return conclude("print", [], ["there is none"])
    if not printing.installed():
        return conclude("print", [], ["WeasyPrint is not installed here; rely on the page and not on the print"])
    made = publication.printed(directory, record.content, bundle.signatures(directory, record.data), record.data)
    sentence = f"{_other(bundle.PRINT)}, or other fonts than those here; rely on the page instead"
    return conclude("print", [] if _data(path, len(made) + 1) == made else [sentence])


def _data(path: Path, limit: int) -> bytes:
    try:
        return regular.read(path, limit)
    except OSError as error:
        raise CorruptState(
            f"{path.name} cannot be read: {error.strerror}; ask for the report again", code="report.file"
        ) from error


def _other(name: str) -> str:
    return f"{name} is not what the record makes: it was changed, or made by another version of Collegium"


def _no_record() -> CorruptState:
    return CorruptState(f"{bundle.RECORD} is missing or not as it was written", code="report.record")
