"""Every command helps with an example, prints one JSON object where it offers that, and is quick to say so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup

from tests.e2e import commands
from tests.e2e.programs import APPS, commands_of
from tests.e2e.scene import CONSORTIUM, Scene

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)
HEAVY = ("torch", "monai", "opacus", "pydicom", "pynetdicom", "requests", "tenseal", "dp_accounting", "scipy")
OTHERWISE_TESTED = {
    ("sandbox", "run"),
    ("silo", "audit"),
    ("silo", "cohort", "show"),
    ("silo", "deidentify"),
    ("silo", "preview"),
    ("silo", "review"),
    *(("silo", "budget", word) for word in ("set", "show", "second-key")),
    *((name, "ledger", word) for name in ("silo", "aggregator") for word in ("fsck", "show", "proof", "erase")),
    ("silo", "ledger", "recover"),
    ("silo", "pacs", "echo"),
    ("silo", "pull"),
    *(("silo", word) for word in ("what-leaves", "status", "doctor")),
    *(("aggregator", word) for word in ("status", "doctor", "backup")),
    *((name, "verify-release") for name in ("silo", "aggregator")),
}
"""Looked at in `tests/deploy/sandbox`, `test_audit`, `test_cohort`, `tests/silo_node`, `tests/aggregator`,
`tests/privacy/{ledger,release}` and `tests/imaging/sources`."""


ALL = [(words, command) for name in APPS for words, command in commands_of(name)]
LEAVES = [(words, command) for words, command in ALL if not isinstance(command, TyperGroup)]
WITH_JSON = [words for words, command in LEAVES if any("--json" in option.opts for option in command.params)]  # type: ignore[attr-defined]


def test_all_commands_of_the_five_programs_are_known() -> None:
    assert {words for words, _ in LEAVES} == {
        *(("silo", word) for word in ("init", "enrol", "pull", "ingest", "approve", "run", "export", "audit")),
        *(("silo", word) for word in ("deidentify", "preview", "review", "what-leaves", "status")),
        *(("silo", "cohort", word) for word in ("show", "close")),
        *(("silo", word) for word in ("stop", "revoke-approval", "decommission", "doctor")),
        *(("silo", "budget", word) for word in ("set", "show", "second-key")),
        *(("silo", "ledger", word) for word in ("fsck", "show", "proof", "report", "erase", "recover")),
        *(("aggregator", "ledger", word) for word in ("fsck", "show", "proof", "report", "erase")),
        ("silo", "pacs", "echo"),
        *((name, "verify-release") for name in ("silo", "aggregator")),
        *(("aggregator", word) for word in ("init", "enrol", "serve", "status", "doctor", "backup")),
        *(("consortium", word) for word in ("init", "token", "admit", "renew", "revoke", "roster-statement")),
        *(("consortium", "study", word) for word in ("sign", "explain", "from-bundle")),
        *(("compliance", word) for word in ("report", "sign", "verify", "export")),
        ("sandbox", "run"),
    }


@pytest.mark.parametrize("name", APPS)
def test_every_command_helps_with_an_example_and_without_heavy_imports(name: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "tests.e2e.helps", name], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads(asked.stdout)
    assert set(told["modules"]).isdisjoint(HEAVY)
    for words, command in commands_of(name):
        code, help_text = told["said"][" ".join(words)]
        assert code == 0, words
        assert "Usage" in help_text, words
        assert "--install-completion" not in help_text, words
        if isinstance(command, TyperGroup):
            assert len(words) > 1 or name == "sandbox" or "In this order: " in help_text, "where does one begin?"
            continue
        _, separator, example = help_text.partition("Example:")
        assert separator, f"{words}: no example"
        assert " ".join((f"collegium-{words[0]}", *words[1:])) in " ".join(example.split()), words


@pytest.mark.parametrize("name", APPS)
def test_a_program_without_arguments_shows_its_help(name: str) -> None:
    ended = commands.run(name)
    assert "Usage" in ended.out + ended.err
    assert ended.code in {0, 2}


@pytest.mark.parametrize(
    "words", [("silo", "ingest", "--wrong"), ("consortium", "token", "king", "north", "--dir", ".")]
)
def test_a_wrong_argument_ends_with_the_code_of_a_configuration_error(words: tuple[str, ...]) -> None:
    ended = commands.run(*words)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_json_is_one_object_and_nothing_else(finished: Scene, tmp_path: Path) -> None:
    ended = commands.noted(finished.transcript)
    at = ("--dir", finished.copy(tmp_path / "copy").consortium, "--json")
    renewed = commands.run("consortium", "renew", "silo", "north", *at, "-o", tmp_path / "admission")
    revoke = ("revoke", "silo", "north", "--reason", "superseded", "-o", tmp_path / "statement")
    revoked = commands.run("consortium", *revoke, *at)
    token = commands.run("consortium", "token", "silo", "lake", *at)
    explained = commands.run("consortium", "study", "explain", finished.study, "--json")
    bundle = tmp_path / "inference.json"
    network = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    bundle.write_text(json.dumps({"network_def": network | {"channels": [4, 8], "strides": [2]}}))
    started = commands.run("consortium", "study", "from-bundle", bundle, "--json")
    seen = set()
    for each in [*ended, renewed.well(), revoked.well(), token.well(), explained.well(), started.well()]:
        words = (Path(each.command[0]).name.removeprefix("collegium-"), *each.command[1:])
        if "--json" in words:
            assert each.data()
            assert each.out.count("\n") == 1
            seen |= {known for known in WITH_JSON if words[: len(known)] == known}
    assert seen == set(WITH_JSON) - OTHERWISE_TESTED
    assert set(token.data()) == {"role", "name", "expires", "token"}


def test_what_is_printed_for_people_is_no_json(founded: Scene, tmp_path: Path) -> None:
    ended = commands.run("consortium", "init", tmp_path / "another", "--name", CONSORTIUM, "--plain-keys").well()
    assert ended.out.startswith("consortium  ")
    assert ended.err == ""
