"""The pages of a report's folder, made from its record and the signatures under it, as often as wanted.

It computes no figure: what is not in the record is not on a page.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from compliance import bundle, schema
from compliance.canonical import canonical
from compliance.report import FORMAT
from compliance.signing import Signature
from privacy import durable, regular
from privacy.digest import Json
from privacy.errors import CorruptState

Record = dict[str, Json]


def publish(directory: Path, *, pdf: bool) -> None:
    """Write the page, and the print if wanted, over those that are there.

    Raises:
        CorruptState: as for `read`.
        ConfigError: a print is wanted and WeasyPrint is not installed.
        StorageError: the disk refuses.
    """
    data, signatures = read(directory)
    record = json.loads(data)
    durable.write(directory / bundle.PAGE, page(record, signatures).encode(), mode=0o644)
    if pdf:
        durable.write(directory / bundle.PRINT, printed(directory, record, signatures, data), mode=0o644)


def page(record: Record, signatures: Sequence[Signature]) -> str:
    """The page of a record and the signatures under it.

    Raises:
        CorruptState: parts of the record, each of its form, do not fit together.
    """
    from jinja2 import TemplateError

    from compliance import render

    try:
        return render.html(record, signatures)
    except (ArithmeticError, AttributeError, LookupError, TemplateError, TypeError, ValueError) as error:
        raise CorruptState(
            "the record contradicts itself, so that no page can be made of it; ask for the report again",
            code="report.record",
        ) from error


def printed(directory: Path, record: Record, signatures: Sequence[Signature], data: bytes) -> bytes:
    """The print: the page, with `data`, the bytes of the record, and the files of signatures embedded.

    Raises:
        ConfigError: WeasyPrint is not installed.
    """
    from compliance import printing

    attached = {bundle.RECORD: data} | {
        f"signature-{path.name}": regular.read(path) for path in sorted((directory / bundle.SIGNATURES).glob("*.json"))
    }
    return printing.pdf(page(record, signatures), attached, datetime.fromisoformat(str(record["made_at"])))


def read(directory: Path) -> tuple[bytes, tuple[Signature, ...]]:
    """The bytes of the record, in their one form, and the verified signatures under them.

    Raises:
        CorruptState: there is no record, it has another form, or a signature does not hold.
    """
    try:
        data = regular.read(directory / bundle.RECORD, bundle.MAX_RECORD + 1)
        record = json.loads(data) if len(data) <= bundle.MAX_RECORD else None
        sound = isinstance(record, dict) and record.get("format") == FORMAT and canonical(record) == data
    except (OSError, ValueError, RecursionError) as error:
        raise _broken() from error
    if not sound:
        raise _broken()
    schema.validate(record)
    return data, bundle.signatures(directory, data)


def _broken() -> CorruptState:
    return CorruptState("there is no record of a report here, or not as it was written", code="report.record")
