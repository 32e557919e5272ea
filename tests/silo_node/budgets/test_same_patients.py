"""The budget belongs to patients: whatever a hospital calls them, whatever keys it makes, and whoever asks."""

import json
from pathlib import Path

import pytest

from privacy.dp.events import DpSgdEvent
from privacy.errors import (
    CorruptState,
    DataError,
    IdentityError,
    StorageError,
    StudyError,
)
from privacy.ledger.budgets.budget import charged
from privacy.ledger.budgets.overlap import Cohorts
from silo_node.approvals import approval
from silo_node.cohorts.patients import PatientSets
from silo_node.program import _check_recorded
from tests.consortium import Consortium
from tests.silo_node.budgets.hospital import Hospital, refused


def test_one_patient_in_common_charges_both(hospital: Hospital) -> None:
    assert hospital.ingest("chest", "P-1", "P-2") == ()
    assert hospital.ingest("hand", "P-3", "P-4") == ()
    hospital.charge("chest", 7)
    assert hospital.ingest("again", "P-2", "P-5") == ("chest",)
    hospital.charge("again", 5)
    steps = {name: charged(hospital.entries, name)[0].steps for name in ("chest", "again")}
    assert steps == {"chest": 12, "again": 12}
    assert charged(hospital.entries, "hand") == ()


def test_the_same_patients_keep_their_budget_when_the_cohort_is_gone(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    hospital.charge("chest", 7)
    folder = hospital.directory.cohort("chest")
    folder.rename(folder.with_name("away"))
    with pytest.raises(DataError, match="a name is used once") as caught:
        hospital.ingest("chest", "P-1")
    assert caught.value.code == "cohort.exists"
    assert hospital.ingest("again", "P-1") == ("chest",)
    assert charged(hospital.entries, "again") == (DpSgdEvent(0.25, 2.0, 7),)


def test_a_new_site_key_makes_every_earlier_cohort_overlap(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    (hospital.state / "pseudonym.key").unlink()
    assert hospital.ingest("hand", "P-9") == ("chest",)
    assert hospital.ingest("again", "P-9") == ("chest", "hand")


@pytest.mark.parametrize("damage", ["missing", "cut", "salt", "other", "key", "empty"])
def test_a_set_that_is_not_what_the_ledger_says_counts_as_overlapping(hospital: Hospital, damage: str) -> None:
    hospital.ingest("chest", "P-1", "P-2")
    hospital.ingest("hand", "P-3")
    (file,) = (path for path in (hospital.state / "patients").iterdir() if path.name.startswith("chest-"))
    assert file.stat().st_mode & 0o777 == 0o600
    data = file.read_bytes()
    at = {"salt": 25, "key": 60, "other": 90}
    if damage == "missing":
        file.unlink()
    elif damage in at:
        file.write_bytes(data[: at[damage]] + bytes([data[at[damage]] ^ 1]) + data[at[damage] + 1 :])
    else:
        file.write_bytes(data[:-32] if damage == "cut" else b"")
    assert hospital.ingest("spine", "P-9") == ("chest",)


def test_the_ledger_and_the_set_name_no_patient(hospital: Hospital) -> None:
    hospital.ingest("chest", "PATIENT-ONE")
    (file,) = (hospital.state / "patients").iterdir()
    assert b"PATIENT-ONE" not in file.read_bytes()
    journal = (hospital.state / "ledger" / "entries.jsonl").read_bytes()
    pseudonym = file.read_bytes()[-32:]
    assert pseudonym not in journal
    # The commitment is salted: a copy of the same set has another one, which nobody can guess at.
    sets = PatientSets(hospital.state.parent / "copy", hospital.directory.pseudonym_key())
    (entry,) = (e for e in hospital.entries if e.kind == "cohort")
    assert sets.keep("chest", str(entry.body["digest"]), [pseudonym.decode()]) != entry.body["patients_commitment"]


def test_an_ingest_that_the_ledger_could_not_record_keeps_nothing(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("cannot write")

    hospital.ingest("hand", "P-3")
    with monkeypatch.context() as patched:
        patched.setattr("privacy.ledger.store.disk.append", full)
        with pytest.raises(StorageError):
            hospital.ingest("chest", "P-1")
    assert [path.name[:5] for path in (hospital.state / "patients").iterdir()] == ["hand-"]
    assert not hospital.directory.cohort("chest").exists()
    # What a killed ingest leaves is removed by the next of that name alone.
    sets = PatientSets(hospital.directory.patients, hospital.directory.pseudonym_key())
    sets.keep("chest", "ab" * 32, [])
    sets.keep("chest-2", "ab" * 32, [])
    assert hospital.ingest("chest", "P-1") == ()
    names = sorted(path.name.rpartition("-")[0] for path in (hospital.state / "patients").iterdir())
    assert names == ["chest", "chest-2", "hand"]


def test_a_renamed_cohort_is_not_trained_on_at_anothers_cost(hospital: Hospital) -> None:
    from silo_node.cohorts.ingestion import open_cohort

    hospital.ingest("chest", "P-1")
    hospital.ingest("hand", "P-2")
    moved = open_cohort(hospital.directory, "hand")
    with hospital.open() as ledger:
        _check_recorded(ledger, moved, "hand")
        with pytest.raises(CorruptState) as caught:
            _check_recorded(ledger, moved, "chest")
    assert caught.value.code == "cohort.unrecorded"


def test_new_keys_keep_the_pseudonym_key_and_begin_no_new_ledger(hospital: Hospital, tmp_path: Path) -> None:
    hospital.ingest("chest", "P-1")
    hospital.charge("chest")
    pseudonyms = hospital.directory.pseudonym_key()
    (hospital.state / "identity").rename(hospital.state / "old")
    (tmp_path / "second").mkdir()
    again = Consortium(tmp_path / "second", "lung-net")
    (again.root / "north").symlink_to(hospital.state)
    again.silo("north")
    assert hospital.directory.pseudonym_key() == pseudonyms
    with pytest.raises(IdentityError, match="another identity key") as foreign:
        hospital.open()
    assert foreign.value.code == "ledger.foreign_key"
    (hospital.state / "ledger").rename(hospital.state / "gone")
    with pytest.raises(CorruptState) as missing:
        hospital.open()
    assert missing.value.code == "ledger.missing"
    assert not (hospital.state / "ledger").exists()


def test_a_move_to_another_consortium_keeps_the_ledger_and_what_was_spent(hospital: Hospital, tmp_path: Path) -> None:
    hospital.ingest("chest", "P-1")
    path, signed = hospital.signed()
    confirmed = {"silo-b": "phone", "silo-c": "phone"}
    with hospital.open() as ledger:
        folder = hospital.directory.study("trial")
        approval.record(path, signed, "chest", "Ada Roe", confirmed, hospital.policy(), folder, ledger)
    hospital.charge("chest", 7)
    (tmp_path / "second").mkdir()
    there = Consortium(tmp_path / "second", "lung-net")
    (there.root / "north").symlink_to(hospital.state)
    before = hospital.entries
    there.silo("north")
    hospital.open().close()
    assert hospital.entries[: len(before)] == before
    (moved,) = hospital.entries[len(before) :]
    assert (moved.kind, moved.body["consortium"]) == ("enrolled", "lung-net")
    assert hospital.ingest("again", "P-1") == ("chest",)
    assert charged(hospital.entries, "again") == (DpSgdEvent(0.25, 2.0, 7),)
    refused(hospital.approve(path), StudyError, "signed by another")
    shown = json.loads(hospital.run("budget", "show", "--cohort", "chest", "--json").stdout)["cohorts"][0]
    assert [part["name"] for part in shown["studies"]] == ["cd" * 6]


def test_a_crash_a_restart_and_another_name_give_nothing_back(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    hospital.charge("chest", 5)  # reserved, then killed: nothing was spent, and it counts
    before = charged(hospital.entries, "chest")
    with hospital.open() as ledger:
        assert charged(ledger.entries, "chest") == before
    hospital.ingest("again", "P-1")
    with hospital.open() as ledger:
        assert charged(ledger.entries, "again") == before
        assert Cohorts(ledger.entries).overlapping("again") == {"chest", "again"}
