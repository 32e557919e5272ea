"""The budget belongs to patients: whatever a hospital calls them, whatever keys it makes, and whoever asks."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner, Result

from privacy import durable
from privacy.dp import accounting
from privacy.dp.events import DpEvent, DpSgdEvent, to_json
from privacy.errors import (
    BudgetExceeded,
    ConfigError,
    CorruptState,
    DataError,
    IdentityError,
    PolicyRefused,
    StorageError,
    StudyError,
)
from privacy.ledger.budgets.budget import charged
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry
from privacy.ledger.reader import read
from privacy.ledger.store import Ledger
from privacy.study import Study, dump, sign
from privacy.wire import collegium_pb2
from silo_node import configuration
from silo_node.app import app
from silo_node.approvals import approval, costs
from silo_node.cohorts import ingestion
from silo_node.cohorts.patients import PatientSets
from silo_node.configuration import Policy
from silo_node.program import _check_recorded
from silo_node.state import StateDirectory
from tests.consortium import Consortium
from tests.privacy.studies import study

CLI = CliRunner()
POLICY: dict[str, Any] = {
    "max_epsilon": 8.0,
    "delta": 1e-4,
    "allowed_tasks": ["binary_classification"],
    "allowed_models": ["resnet"],
    "cohorts": ["chest", "again"],
}
WORDS = "a passphrase that is long"


@dataclass
class Hospital:
    """One hospital's state, with a folder of one image a patient."""

    consortium: Consortium
    state: Path

    @property
    def directory(self) -> StateDirectory:
        return StateDirectory(self.state)

    def open(self) -> Ledger:
        return self.directory.open_ledger(self.directory.identity())

    @property
    def entries(self) -> tuple[Entry, ...]:
        return read(self.state / "ledger").entries

    def policy(self, **changes: object) -> Policy:
        (self.state / "silo.yaml").write_text(yaml.safe_dump({"policy": {**POLICY, **changes}}))
        return configuration.read(self.state).policy

    def ingest(self, name: str, *patients: str) -> tuple[str, ...]:
        source = self.state.parent / f"source-{name}"
        source.mkdir(exist_ok=True)
        for number, patient in enumerate(patients):
            image(source / f"{number}.dcm", patient)
        labels = self.state.parent / f"{name}.csv"
        with labels.open("w", newline="") as file:
            rows = [("patient", "label", "split"), *((patient, 1, "train") for patient in patients)]
            csv.writer(file).writerows(rows)
        with durable.lock(self.state), self.open() as ledger:
            return ingestion.ingest(self.directory, ledger, ingestion.Request(name, source, labels)).overlaps

    def charge(self, cohort: str, steps: int = 10, number: int = 1, digest: str = "cd" * 32) -> None:
        event = to_json(DpSgdEvent(0.25, 2.0, steps))
        body = {"study_digest": digest, "cohort": cohort, "round": number, "event": event}
        with self.open() as ledger:
            ledger.append("reserved", body)

    def run(self, *arguments: object) -> Result:
        return CLI.invoke(app, [*(str(argument) for argument in arguments), "--state", str(self.state)])

    def set_cap(self, epsilon: float, *more: object, delta: float = 1e-4, cohort: str = "chest") -> Result:
        about = ("--cohort", cohort, "--epsilon", epsilon, "--delta", delta, "--reason", "a vote", "--by", "Ada Roe")
        return self.run("budget", "set", *about, *more, "--json")

    def signed(self, **changes: object) -> tuple[Path, Study]:
        """A study of this silo and two others, signed by the consortium."""
        made = study()
        key = self.directory.identity().keys.public_identity.hex()
        data = json.loads(made.model_dump_json()) | changes
        data["roster"]["silos"][0] = {"name": "north", "identity": key}
        data["roster"]["steward"] = "north"
        signed = Study.model_validate_json(json.dumps(data))
        path = self.state.parent / f"{signed.name}.yaml"
        path.write_text(dump(sign(signed, self.consortium.authority.study_key)))
        return path, signed

    def approve(self, path: Path, cohort: str = "chest") -> Result:
        confirmed = ("--confirm", "silo-b=phone", "--confirm", "silo-c=phone")
        return self.run("approve", path, "--cohort", cohort, "--by", "Ada Roe", *confirmed, "--yes")


def image(path: Path, patient: str) -> None:
    """A small radiograph."""
    pixels = np.random.default_rng(abs(hash((path.parent.name, patient)))).integers(0, 60000, (8, 8), dtype=np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality, dataset.BodyPartExamined = patient, "CR", "CHEST"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 16, 16, 15
    dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    consortium = Consortium(tmp_path)
    consortium.silo("north")
    made = Hospital(consortium, consortium.state("north"))
    made.policy()
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accountants that take no time: rate over noise, a step. What they answer is tested elsewhere."""

    def epsilon(events: Sequence[DpEvent], delta: float) -> float:
        return sum(e.steps * e.sampling_rate / e.noise_multiplier for e in events if isinstance(e, DpSgdEvent))

    for name in ("epsilon_pld", "epsilon_prv"):
        monkeypatch.setattr(accounting, name, epsilon)


def refused(ended: Result, kind: type[Exception], words: str) -> None:
    assert isinstance(ended.exception, kind), ended.output
    assert words in str(ended.exception)


# ---- the same patients under another name


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


# ---- new keys, no ledger


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


# ---- caps


def test_a_cap_is_an_entry_and_counts_at_once(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    ended = hospital.set_cap(3.0)
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    assert (said["before"], said["in_force"]) == ({"epsilon": 8.0, "delta": 1e-4}, {"epsilon": 3.0, "delta": 1e-4})
    body = hospital.entries[said["entry"]].body
    assert (body["reason"], body["by"], body["epsilon"], body["second"]) == ("a vote", "Ada Roe", 3.0, "")
    assert costs.budget_filter(hospital.policy()).cap(hospital.entries, "chest").epsilon == 3.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0},
        {"epsilon": 101},
        {"epsilon": float("nan")},
        {"delta": 0.1},
        {"delta": 0},
        {"cohort": "unknown"},
    ],
)
def test_what_is_no_cap_is_refused(hospital: Hospital, wrong: dict[str, Any]) -> None:
    hospital.ingest("chest", "P-1")
    size = len(hospital.entries)
    refused(hospital.set_cap(**{"epsilon": 3.0, **wrong}), ConfigError, "")
    refused(hospital.set_cap(3.0, "--reason", "  "), ConfigError, "--reason is empty")
    assert len(hospital.entries) == size


def test_raising_needs_the_second_persons_key(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    words, key, another = (hospital.state.parent / name for name in ("words", "officer.key", "another.key"))
    words.touch(0o600)
    words.write_text(WORDS + "\n")
    at = ("--passphrase-file", str(words), "--json")
    made = [json.loads(CLI.invoke(app, ["budget", "second-key", "-o", str(f), *at]).stdout) for f in (key, another)]
    assert b"ENCRYPTED" in key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    hospital.policy(second_person=made[0]["fingerprint"])
    assert hospital.set_cap(5.0).exit_code == 0
    refused(hospital.set_cap(6.0), PolicyRefused, "needs the consent of the second person")
    refused(hospital.set_cap(5.0, delta=1e-3), PolicyRefused, "needs the consent of the second person")
    with_key = ("--passphrase-file", words, "--second-key")
    refused(hospital.set_cap(6.0, *with_key, another), PolicyRefused, "not the key that silo.yaml names")
    words.write_text("another passphrase\n")
    refused(hospital.set_cap(6.0, *with_key, key), IdentityError, "not its passphrase")
    assert [e.body["code"] for e in hospital.entries if e.kind == "incident"] == [
        *["budget.second_person"] * 3,
        "budget.second_key",
    ]
    words.write_text(WORDS)
    ended = hospital.set_cap(6.0, *with_key, key)
    assert json.loads(ended.stdout)["second_person"] == made[0]["fingerprint"]
    # Another person is named: the raise does not count any more, until that person consents.
    hospital.policy(second_person=made[1]["fingerprint"])
    shown = json.loads(hospital.run("budget", "show", "--json").stdout)["cohorts"][0]
    assert shown["cap"] == 5.0
    assert len(shown["ignored_settings"]) == 1


def test_a_second_key_needs_a_passphrase_and_a_new_file(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.touch(0o600)
    words.write_text("short")
    arguments = ["budget", "second-key", "-o", str(tmp_path / "key")]
    refused(CLI.invoke(app, [*arguments, "--passphrase-file", str(words)]), ConfigError, "fewer than 12")
    assert CLI.invoke(app, arguments, input=f"{WORDS}\n{WORDS}\n").exit_code == 0
    words.write_text(WORDS)
    refused(CLI.invoke(app, [*arguments, "--passphrase-file", str(words)]), StorageError, "")
    words.chmod(0o644)
    refused(CLI.invoke(app, [*arguments, "--passphrase-file", str(words)]), IdentityError, "other users may read")


def test_no_study_and_no_message_can_name_a_cap(hospital: Hospital) -> None:
    for name, message in collegium_pb2.DESCRIPTOR.message_types_by_name.items():
        for field in message.fields:
            words = set(field.name.split("_"))
            assert words.isdisjoint({"cap", "budget", "epsilon", "delta"}), f"{name}.{field.name}"
    data = json.loads(study().model_dump_json())
    for section in ("privacy", "training", "aggregation", "roster"):
        for key in ("max_epsilon", "cap", "second_person"):
            with pytest.raises(ValueError, match="Extra inputs are not permitted"):
                Study.model_validate_json(json.dumps(data | {section: {**data[section], key: 50.0}}))
    hospital.ingest("chest", "P-1")
    path, _ = hospital.signed(privacy={**data["privacy"], "epsilon": 50.0, "noise_multiplier": 0.6})
    refused(hospital.approve(path), PolicyRefused, "its epsilon is above max_epsilon 8.0")
    assert costs.budget_filter(hospital.policy()).cap(hospital.entries, "chest").epsilon == 8.0


# ---- approval and show


@pytest.mark.usefixtures("quick")
def test_a_study_that_does_not_fit_is_refused_with_the_rounds_that_would(hospital: Hospital) -> None:
    hospital.ingest("chest", "P-1")
    hospital.set_cap(2.0)
    path, signed = hospital.signed()
    guard, event = costs.budget_filter(hospital.policy()), costs.round_event(signed)
    assert isinstance(event, DpSgdEvent)
    fits = guard.fitting_steps(hospital.entries, "chest", event, 20)
    assert 0 < fits < 20
    refused(hospital.approve(path), BudgetExceeded, f"{fits} of its 20 rounds would fit")
    entry = hospital.entries[-1]
    assert (entry.kind, entry.body["code"]) == ("refused", "budget.exceeded")
    assert f"{fits} of its 20 rounds would fit" in str(entry.body["reason"])
    # As many as were said do fit.
    path, _ = hospital.signed(name="shorter", training={"rounds": fits, "local_steps": 1, "learning_rate": 0.5})
    ended = hospital.approve(path)
    assert ended.exit_code == 0, ended.output
    assert "cap 2" in ended.stdout
    assert hospital.entries[-1].body["cap_epsilon"] == 2.0
    # Charged to the same patients under another name, nothing fits any more.
    hospital.ingest("again", "P-1", "P-2")
    hospital.charge("again", 20)
    refused(hospital.approve(path), BudgetExceeded, f"0 of its {fits} rounds would fit")


@pytest.mark.usefixtures("quick")
def test_show_says_what_is_spent_left_and_fits(hospital: Hospital) -> None:
    hospital.open().close()
    assert hospital.run("budget", "show").stdout == "no cohort was ingested here yet\n"
    hospital.ingest("chest", "P-1")
    path, signed = hospital.signed()
    assert hospital.approve(path).exit_code == 0
    hospital.ingest("again", "P-1")
    for number in (1, 2, 3):
        hospital.charge("chest", 1, number, signed.digest().hex())
    hospital.charge("again", 4)
    hospital.set_cap(2.0, cohort="again")
    both = json.loads(hospital.run("budget", "show", "--json").stdout)["cohorts"]
    assert [each["cohort"] for each in both] == ["chest", "again"]
    for each, other in zip(both, ("again", "chest"), strict=True):
        assert (each["overlaps"], each["cap"]) == ([other], 2.0)
        assert each["left"] == pytest.approx(2.0 - each["spent"])
    trial, unnamed = both[0]["studies"]
    assert (trial["name"], trial["charged_rounds"], trial["open_rounds"]) == ("trial", 3, 17)
    guard, event = costs.budget_filter(hospital.policy()), costs.round_event(signed)
    assert isinstance(event, DpSgdEvent)
    assert trial["fitting_rounds"] == guard.fitting_steps(hospital.entries, "chest", event, 17) < 17
    assert (unnamed["name"], unnamed["open_rounds"]) == ("cd" * 6, None)
    words = hospital.run("budget", "show", "--cohort", "chest").stdout
    assert "shares patients with again" in words
    assert f"17 rounds to go, of which {trial['fitting_rounds']} fit" in words
    refused(hospital.run("budget", "show", "--cohort", "unknown"), ConfigError, "no cohort 'unknown'")


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
