"""A ledger with a few entries, its lines as they lie on the disk, and how a reader refuses them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from privacy.errors import CorruptState
from privacy.ledger.store import Ledger, read

ORIGIN = "spiffe://demo/silo/alpha"
AT = datetime(2026, 3, 1, tzinfo=UTC)


def opened(number: int) -> dict[str, str | int]:
    return {"study_digest": "ab", "round": number}


def filled(ledger: Ledger, count: int = 5) -> None:
    for number in range(count):
        ledger.append("round_opened", opened(number))
    ledger.close()


def lines(folder: Path) -> list[bytes]:
    return (folder / "entries.jsonl").read_bytes().splitlines(keepends=True)


def write(folder: Path, parts: list[bytes]) -> None:
    (folder / "entries.jsonl").write_bytes(b"".join(parts))


def refusal(folder: Path) -> str:
    with pytest.raises(CorruptState) as caught:
        read(folder)
    return caught.value.code
