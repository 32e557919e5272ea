import hashlib
import json
import os
import pwd
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.errors import AlreadyRunning, ConfigError, CorruptState, StorageError
from privacy.ledger import commands, readings
from privacy.ledger.fsck import examine
from privacy.ledger.heads import proof
from privacy.ledger.store import Ledger, read

USER = pwd.getpwuid(os.getuid()).pw_name
DIGEST = "ab12" * 16


class Party:
    """Stands for an enrolled identity: the commands need its name and its Ed25519 key only."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.member = Member("demo", Role.SILO, "alpha")
        self.keys = self
        self.identity = key
        self.public_identity = key.public_key().public_bytes_raw()


@pytest.fixture
def state(tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Path:
    party = Party(key)
    monkeypatch.setattr(Identity, "load", lambda folder: party)
    with Ledger.create(tmp_path / "ledger", party.member.uri, key) as ledger:
        ledger.append("enrolled", {"silo": "alpha", "consortium": "demo", "certificate_fingerprint": "cd" * 32})
        ledger.append("incident", {"code": "test.odd", "detail": "odd"}, {"by": "bob", "where": "/mnt"})
        for number in range(3):
            ledger.append("round_opened", {"study_digest": DIGEST if number else "ff" * 32, "round": number})
    return tmp_path


def run(*arguments: object) -> str:
    app = commands.group("collegium-silo")
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout


def shown(state: Path, *arguments: object) -> list[dict[str, Any]]:
    return list(json.loads(run("show", "--state", state, "--json", *arguments))["entries"])


def test_show_filters_and_enters_itself(state: Path) -> None:
    entries = shown(state)
    assert [entry["sequence"] for entry in entries] == list(range(6))
    assert (entries[-1]["kind"], entries[-1]["who"]) == ("log_read", USER)
    assert entries[1]["details"] == {"by": "bob", "where": "/mnt"}
    assert (entries[1]["who"], entries[1]["why"]) == ("bob", "odd; where /mnt")
    assert [entry["sequence"] for entry in shown(state, "--kind", "incident", "--kind", "enrolled")] == [0, 1]
    assert [entry["sequence"] for entry in shown(state, "--study", DIGEST[:8])] == [3, 4]
    assert [entry["sequence"] for entry in shown(state, "--round", 0)] == [2]
    assert [entry["sequence"] for entry in shown(state, "--study", DIGEST, "--last", 1, "--by", "Ada Roe")] == [4]
    readers = [entry for entry in read(state / "ledger").entries if entry.kind == "log_read"]
    assert [entry.body["by"] for entry in readers] == [USER] * 4 + ["Ada Roe"]
    assert readers[-1].body["what"] == f"ledger shown (study {DIGEST}, last 1)"


def test_show_speaks_to_a_person_too(state: Path) -> None:
    heading, *rows = run("show", "--state", state, "--kind", "incident").splitlines()
    assert heading.split() == ["entry", "when", "kind", "who", "what", "outcome", "why"]
    assert len(rows) == 1
    assert "incident test.odd" in rows[0]
    assert rows[0].endswith("odd; where /mnt")


def test_show_refuses_what_it_does_not_know(state: Path) -> None:
    with pytest.raises(ConfigError, match="no entries of kind 'rumour'"):
        run("show", "--state", state, "--kind", "rumour")
    with pytest.raises(ConfigError, match="no entry speaks of this study"):
        run("show", "--state", state, "--study", "ab")


def test_a_reading_beside_a_running_writer_is_entered_later(state: Path, key: Ed25519PrivateKey) -> None:
    folder = state / "ledger"
    with Ledger.open(folder, key) as writer:
        writer.append("round_opened", {"study_digest": DIGEST, "round": 9})
        assert len(shown(state, "--by", "Ada Roe")) == 6
        assert len(readings.names(folder)) == 1
        writer.append("round_opened", {"study_digest": DIGEST, "round": 10})
    with Ledger.open(folder, key) as again:
        last = again.entries[-1]
    assert (last.kind, last.body["by"]) == ("log_read", "Ada Roe")
    assert "while the ledger was being written" in str(last.body["what"])
    assert readings.names(folder) == ()


def test_a_damaged_note_is_an_incident(state: Path, key: Ed25519PrivateKey) -> None:
    folder = state / "ledger"
    with Ledger.open(folder, key):
        shown(state)
    (folder / "readings" / readings.names(folder)[0]).write_bytes(b"[]")
    assert [one.file.split("/")[0] for one in examine(folder).findings] == ["readings"]
    with Ledger.open(folder, key) as again:
        assert again.entries[-1].body["code"] == "ledger.reading"
    assert not examine(folder).findings


def test_nothing_is_shown_that_cannot_be_entered(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(Ledger, "append", full)
    with pytest.raises(StorageError):
        run("show", "--state", state)


def test_fsck_says_that_all_is_well_and_where_it_is_not(state: Path) -> None:
    assert "all is as it was written" in run("fsck", "--state", state)
    assert json.loads(run("fsck", "--state", state, "--json"))["findings"] == []
    file = state / "ledger" / "entries.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"round":1', b'"round":7'))
    with pytest.raises(CorruptState, match=r"the first of them entries\.jsonl, entry 3, bytes \d+ to \d+;"):
        run("fsck", "--state", state)
    with file.open("ab") as end:
        end.write(b"torn")
    shutil.rmtree(state / "ledger" / "details")
    result = CliRunner().invoke(commands.group("x"), ["fsck", "--state", str(state), "--json"])
    found = json.loads(result.stdout)
    assert [(one["file"], one["where"].split(",")[0]) for one in found["findings"]] == [
        ("entries.jsonl", "entry 3"),
        ("details", "details of entry 1"),
    ]
    assert found["torn_bytes"] == 4


def test_fsck_is_no_reading_and_changes_nothing(state: Path) -> None:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    run("fsck", "--state", state)
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before


def test_a_torn_write_is_told(state: Path) -> None:
    with (state / "ledger" / "entries.jsonl").open("ab") as file:
        file.write(b"torn")
    assert "the next start cuts it" in run("fsck", "--state", state)


def test_proof_writes_a_file_that_verifies(state: Path, key: Ed25519PrivateKey, tmp_path: Path) -> None:
    output = tmp_path / "entry.tlog-proof"
    told = json.loads(run("proof", 1, "-o", output, "--state", state, "--json"))
    proven = proof.verify(output.read_text(), key.public_key().public_bytes_raw())
    assert (proven.entry.kind, proven.checkpoint.size) == ("incident", 6)
    assert (told["root"], told["of_entries"]) == (proven.checkpoint.root.hex(), 6)
    assert read(state / "ledger").entries[-1].body["what"] == "entry 1 proven"
    with pytest.raises(StorageError):
        run("proof", 1, "-o", output, "--state", state)
    with pytest.raises(ConfigError, match="no entry 99"):
        run("proof", 99, "-o", tmp_path / "x", "--state", state)


def record(folder: Path, *studies: object, form: str = "collegium-report/1") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps({"format": form, "studies": [{"name": one} for one in studies]}))
    return folder


def test_a_report_is_entered_by_the_digest_of_its_record(state: Path, tmp_path: Path) -> None:
    made = record(tmp_path / "report", "xray", "chest", "chest", "<b>", None)
    digest = hashlib.sha256((made / "report.json").read_bytes()).hexdigest()
    assert f"entry 5: report on chest, xray, digest {digest}" in run(
        "report", made, "--by", "Ada Roe", "--state", state
    )
    entry = read(state / "ledger").entries[-1]
    assert (entry.kind, entry.body) == (
        "report_made",
        {"digest": digest, "what": "report on chest, xray", "by": "Ada Roe"},
    )
    run("report", record(tmp_path / "empty"), "--state", state)
    assert (body := read(state / "ledger").entries[-1].body)["what"] == "report"
    assert body["by"] == USER
    many = record(tmp_path / "many", *(f"study-{number:03}" for number in range(70)))
    run("report", many, "--state", state)
    assert str(read(state / "ledger").entries[-1].body["what"]).endswith("study-049 and 20 others")
    assert not examine(state / "ledger").findings


@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"format":"other/1","studies":[]}', b'{"studies":[]}'])
def test_what_is_no_report_is_not_entered(state: Path, tmp_path: Path, content: bytes | None) -> None:
    (folder := tmp_path / "report").mkdir()
    if content is not None:
        (folder / "report.json").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        run("report", folder, "--state", state)
    assert caught.value.code == "ledger.no_report"
    with pytest.raises(ConfigError, match="--by"):
        run("report", record(folder, "chest"), "--by", " ", "--state", state)
    assert len(read(state / "ledger").entries) == 5


def test_a_report_is_not_entered_beside_a_running_writer(state: Path, tmp_path: Path, key: Ed25519PrivateKey) -> None:
    made = record(tmp_path / "report", "chest")
    with Ledger.open(state / "ledger", key), pytest.raises(AlreadyRunning):
        run("report", made, "--state", state)


@pytest.mark.parametrize(
    "given",
    [("erase", 1, "--reason", " "), ("erase", 1, "--reason", "x", "--by", ""), ("show", "--by", "x" * 501)],
)
def test_who_and_why_are_said_or_nothing_happens(state: Path, given: tuple[object, ...]) -> None:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="needs 1 to 500 characters"):
        run(*given, "--state", state)
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before


def test_erase_leaves_the_entry_and_says_why(state: Path) -> None:
    before = read(state / "ledger").entries
    run("erase", 1, "--reason", "left the hospital", "--by", "dpo", "--state", state)
    after = read(state / "ledger").entries
    assert after[:-1] == before
    assert after[-1].body == {"entry": 1, "reason": "left the hospital", "by": "dpo"}
    assert shown(state)[1]["details"] is None
    assert not examine(state / "ledger").findings
    with pytest.raises(ConfigError, match="no details"):
        run("erase", 0, "--reason", "x", "--state", state)
