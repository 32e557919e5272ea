"""A backup of an aggregator that goes on writing meanwhile: ledger and studies fit, whatever comes in between."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregator.storage import database, frame_files
from aggregator.storage.backup import back_up, check
from privacy.ledger import backup as ledgers
from privacy.ledger import reader
from privacy.ledger.reader import VerifiedLedger
from privacy.ledger.store import Ledger
from tests import stored
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.aggregator.rounds.stopping import Silos
from tests.aggregator.storage.backups import NOW, amid, put_back, state_of


def test_frames_that_are_dropped_meanwhile_are_in_neither_part_of_the_copy(
    four: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = amid(tmp_path / "hub", four)
    state = state_of(hub, tmp_path / "state")
    read, calls = frame_files.read, [0]

    def dropping(folder: Path, digest: bytes) -> bytes:
        calls[0] += 1
        if calls[0] == 3:
            hub.close(4, 1)  # the last Close: the round's ciphertext is dropped
        return read(folder, digest)

    monkeypatch.setattr(frame_files, "read", dropping)
    copy = tmp_path / "copy"
    assert back_up(state, copy, NOW).studies == {"trial": 2}
    assert len(list((copy / "studies/trial/frames").iterdir())) == 2
    assert not [name for name in stored.names(copy / "studies/trial") if name.startswith("rounds/000001/sum/")]


def test_a_ledger_is_copied_beside_its_writer(ledger: Ledger, tmp_path: Path) -> None:
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            ledger.append("incident", {"code": "test", "detail": "x" * 100}, details={"who": "somebody"})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = [ledgers.copy(ledger.folder, tmp_path / f"{number}").size for number in range(5)]
    finally:
        ending.set()
        writer.join()
    assert sizes == sorted(sizes)
    assert [reader.read(tmp_path / f"{number}").size for number in range(5)] == sizes


def test_details_that_are_erased_meanwhile_are_not_in_the_copy(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        ledger.append("incident", {"code": "test", "detail": "x"}, details={"who": "somebody"})
    copy_files, erased = ledgers.copy_files, [0]

    def erasing(folder: Path, target: Path) -> None:
        if not erased[0]:
            ledger.erase_details(0, "asked for", "somebody")
        erased[0] += 1
        copy_files(folder, target)

    monkeypatch.setattr(ledgers, "copy_files", erasing)
    copied = ledgers.copy(ledger.folder, tmp_path / "copy")
    assert [entry.kind for entry in copied.entries] == ["incident", "incident", "details_erased"]
    assert len(list((tmp_path / "copy" / "details").iterdir())) == 1


@pytest.mark.usefixtures("without_fsync")
@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_backup_of_any_instant_of_a_round_is_gone_on_from(tmp_path: Path, members: Members, stride: int) -> None:
    """Between any two durable steps: store and ledger of the copy fit, and the round ends with one of each entry."""
    first, copies = Silos(Hub(tmp_path / "hub", members), 1), list[Path]()
    state, steps = state_of(first.hub, tmp_path / "state"), [0]
    commit, append = database.commit, Ledger.append

    def copied_before(step: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any) -> Any:
            steps[0] += 1
            if steps[0] % stride == 0:
                copies.append(tmp_path / f"copy-{steps[0]}")
                back_up(state, copies[-1], NOW)
            return step(*arguments)

        return instead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "commit", copied_before(commit))
        patch.setattr(Ledger, "append", copied_before(append))
        first.run()
    assert len(copies) * stride > 25
    for copy in copies:
        check(copy)
        silos = Silos(put_back(copy, copy / "again", members), 1)
        silos.sets, silos.signed, silos.frames, silos.unmasks = first.sets, first.signed, first.frames, first.unmasks
        silos.run()
        assert silos.hub.kinds() == ["survivors", "closed"], copy.name
        silos.hub.store.close()
        silos.hub.ledger.close()


def test_what_came_between_the_copies_of_ledger_and_studies_is_entered_at_the_next_start(
    tmp_path: Path, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    silos, copy_ledger = Silos(Hub(tmp_path / "hub", members), 1), ledgers.copy

    def then_a_round(ledger: Path, target: Path) -> VerifiedLedger:
        copied = copy_ledger(ledger, target)
        silos.run()
        return copied

    monkeypatch.setattr(ledgers, "copy", then_a_round)
    manifest = back_up(state_of(silos.hub, tmp_path / "state"), tmp_path / "copy", NOW)
    assert manifest.ledger_size == 0
    assert put_back(tmp_path / "copy", tmp_path / "again", members).kinds() == ["survivors", "closed"]
