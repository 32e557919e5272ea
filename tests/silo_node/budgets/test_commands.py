"""`budget set` and `second-key`: a cap is the hospital's word, in its ledger, and raised by two people."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from privacy.channel import passphrase
from privacy.errors import (
    ConfigError,
    IdentityError,
    PolicyRefused,
    StorageError,
)
from privacy.study import Study
from privacy.wire import collegium_pb2
from silo_node.app import app
from silo_node.approvals import costs
from tests.privacy.studies import study
from tests.silo_node.budgets.hospital import CLI, WORDS, Hospital, refused


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
    refused(hospital.set_cap(3.0, "--reason", "  "), ConfigError, "--reason needs")
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


def test_a_second_key_needs_a_passphrase_and_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tmp_path / "words"
    words.touch(0o600)
    words.write_text("short")
    arguments = ["budget", "second-key", "-o", str(tmp_path / "key")]
    refused(CLI.invoke(app, [*arguments, "--passphrase-file", str(words)]), ConfigError, "fewer than 12")
    ended = CLI.invoke(app, arguments, input=f"{WORDS}\n{WORDS}\n")
    refused(ended, ConfigError, "no terminal to ask for it; give --passphrase-file")
    assert ended.exception.code == "config.no_passphrase"  # type: ignore[union-attr]
    with monkeypatch.context() as terminal:
        terminal.setattr(passphrase, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
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
