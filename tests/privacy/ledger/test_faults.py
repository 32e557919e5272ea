"""Every system call of an append, an erasure and an open fails once, or from then on: nothing acknowledged is lost."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import StorageError
from privacy.ledger import readings
from privacy.ledger.fsck import examine
from privacy.ledger.store import Ledger, read, utc_now
from tests.privacy.ledger.test_files import to_layout_1

CALLS = ("open", "write", "fdopen", "fsync", "ftruncate", "rename", "replace", "unlink", "mkdir")
BODY = {"study_digest": "ab", "round": 1}


@contextmanager
def failing(patch: pytest.MonkeyPatch, number: int, error: int, *, lasting: bool) -> Iterator[list[str]]:
    """The `number`-th call fails, after half of its work where that can be; `lasting`: so do all after it."""
    made: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            if len(made) == number or (lasting and len(made) > number):
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise OSError(error, os.strerror(error))
            return real(*arguments, **named)

        return call

    with patch.context() as inner:
        for name in CALLS:
            inner.setattr(os, name, wrapped(name, getattr(os, name)))
        yield made


def lines(ledger: Ledger) -> set[bytes]:
    return {entry.line() for entry in ledger.entries}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power cut is played here, so the disk need not be waited for; that the calls are made counts."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.parametrize(("error", "lasting"), [(errno.EIO, False), (errno.ENOSPC, True)], ids=["once", "from then on"])
def test_appends(tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: Any, error: int, lasting: bool) -> None:
    seen = set()
    for number in range(1, 100):
        folder = tmp_path / str(number)
        with Ledger.create(folder, "spiffe://demo/silo/alpha", key) as ledger:
            acknowledged, refusals = {ledger.append("round_opened", {**BODY, "round": 0}, {"by": "ada"}).line()}, []
            with failing(monkeypatch, number, error, lasting=lasting) as made:
                for action in (
                    lambda: ledger.append("round_opened", BODY, {"by": "bob"}),
                    lambda: ledger.append("round_opened", {**BODY, "round": 2}),
                    lambda: ledger.erase_details(0, "asked for", "ada"),
                ):
                    try:
                        acknowledged.add(action().line())
                    except StorageError as refused:
                        refusals.append(str(refused))
            assert all(os.strerror(error) in refusal and str(tmp_path) not in refusal for refusal in refusals)
            seen.update(made[number - 1 : number])
            assert acknowledged <= lines(ledger)
            # The disk works again: so does the ledger, without being opened anew.
            acknowledged.add(ledger.append("round_opened", {**BODY, "round": 3}).line())
            found = read(folder)
            assert found.entries == ledger.entries
            assert (found.size, found.root, found.torn_bytes) == (*ledger.head(), 0)
        with Ledger.open(folder, key) as again:
            assert acknowledged <= lines(again)
        assert not examine(folder).findings
        if len(made) < number:
            break
    assert len(made) < number
    assert seen >= {"open", "write", "fdopen", "fsync", "rename", "unlink"}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_opening_what_a_crash_left(tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: Any, lasting: bool) -> None:
    """A torn line, details without an entry, a noted reading, an earlier layout: everything that `open` mends."""
    for number in range(1, 200):
        folder = tmp_path / str(number)
        with Ledger.create(folder, "spiffe://demo/silo/alpha", key) as ledger:
            acknowledged = {ledger.append("round_opened", {**BODY, "round": n}, {"by": "ada"}).line() for n in range(2)}
            ledger.details.put({"by": "nobody"})
        readings.note(folder, "all of it", "ada", utc_now())
        with (folder / "entries.jsonl").open("ab") as file:
            file.write(b'{"body":{"torn')
        to_layout_1(folder)
        with failing(monkeypatch, number, errno.EIO, lasting=lasting) as made, suppress(StorageError):
            Ledger.open(folder, key).close()
        with Ledger.open(folder, key) as again:
            assert acknowledged <= lines(again)
            kinds = [entry.kind for entry in again.entries]
            # None where the disk failed between the cut and its entry, two where that entry was torn too.
            assert kinds.count("incident") <= 2
            assert 1 <= kinds.count("log_read") <= 2
        seen = examine(folder)
        assert (seen.findings, seen.details_kept, seen.readings, seen.torn_bytes) == ([], 2, 0, 0)
        assert len(list((folder / "details").iterdir())) == 2
        if len(made) < number:
            break
    assert len(made) < number
