"""The ceremony through the commands, with the silo's and the aggregator's halves of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

import aggregator.enrolment
import silo_node.enrolment
from deploy.consortium.app import app
from privacy.channel.identity import Identity
from privacy.errors import CollegiumError, ConfigError, IdentityError
from privacy.study import load_signed
from tests.deploy.consortium.test_signing import draft

ROOT = Path(__file__).parents[3]
COMMANDS = [
    [],
    ["init"],
    ["token"],
    ["admit"],
    ["renew"],
    ["revoke"],
    ["roster-statement"],
    ["study"],
    ["study", "sign"],
    ["study", "explain"],
]


def half(module: object) -> typer.Typer:
    made = typer.Typer()
    made.command("init")(module.init)  # type: ignore[attr-defined]
    made.command("enrol")(module.enrol)  # type: ignore[attr-defined]
    return made


SILO, AGGREGATOR = half(silo_node.enrolment), half(aggregator.enrolment)


def run(program: typer.Typer, *arguments: object) -> Result:
    result = CliRunner().invoke(program, [str(argument) for argument in arguments])
    if isinstance(result.exception, CollegiumError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def enrolled(folder: Path, role: str, name: str, *hosts: str) -> Path:
    token, request, admission, state = (folder / f"{name}{end}" for end in (".token", ".req", ".adm", ""))
    program = SILO if role == "silo" else AGGREGATOR
    directory = folder / "consortium"
    run(app, "token", role, name, "--dir", directory, "-o", token)
    options = [part for host in hosts for part in ("--host", host)]
    run(
        program,
        *("init", "--state", state, "--name", name, "--consortium", "chest-net"),
        *("--token-file", token, "-o", request, *options),
    )
    run(app, "admit", request, "--dir", directory, "-o", admission)
    run(program, "enrol", admission, "--state", state)
    return state


def test_a_whole_ceremony(tmp_path: Path) -> None:
    directory = tmp_path / "consortium"
    founded = json.loads(run(app, "init", directory, "--name", "chest-net", "--plain-keys", "--json").output)
    states = [enrolled(tmp_path, "silo", name) for name in ("st-marys", "st-johns", "st-pauls")]
    hub = Identity.load(enrolled(tmp_path, "aggregator", "hub", "localhost", "127.0.0.1") / "identity")
    assert hub.consortium_fingerprint == founded["consortium_fingerprint"]

    study_file = tmp_path / "study.yaml"
    shown = json.loads(
        run(app, "study", "sign", draft(tmp_path), "--dir", directory, "-o", study_file, "--json").output
    )
    study = load_signed(study_file, hub.study_key)
    assert shown["digest"] == study.digest().hex()
    assert shown["roster_code"] == study.roster.code
    for state in states:
        identity = Identity.load(state / "identity")
        assert shown["silos"][identity.member.name] == identity.fingerprint
    for_people = run(app, "study", "sign", draft(tmp_path), "--dir", directory, "-o", study_file).output
    assert study.roster.code in for_people
    assert "without differential privacy" in for_people

    run(app, "renew", "silo", "st-marys", "--dir", directory, "-o", tmp_path / "renewed.json")
    before = Identity.load(states[0] / "identity").certificate
    run(SILO, "enrol", tmp_path / "renewed.json", "--state", states[0])
    assert Identity.load(states[0] / "identity").certificate != before


def test_a_token_is_printed_alone_or_written_0600(tmp_path: Path) -> None:
    directory, path = tmp_path / "consortium", tmp_path / "token"
    run(app, "init", directory, "--name", "chest-net", "--plain-keys")
    printed = run(app, "token", "silo", "st-marys", "--dir", directory).output
    assert len(printed.strip()) == 43
    shown = run(app, "token", "silo", "st-marys", "--dir", directory, "-o", path, "--json").output
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() not in shown
    assert json.loads(run(app, "token", "silo", "st-marys", "--dir", directory, "--json").output)["token"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "top")
def test_help_has_an_example(command: list[str]) -> None:
    text = run(app, *command, "--help").output
    if command not in ([], ["study"]):
        assert "collegium-consortium " + " ".join(command) in text


@pytest.mark.parametrize("program", [SILO, AGGREGATOR], ids=["silo", "aggregator"])
@pytest.mark.parametrize("command", ["init", "enrol"])
def test_the_members_help_has_an_example(program: typer.Typer, command: str) -> None:
    name = "silo" if program is SILO else "aggregator"
    assert f"collegium-{name} {command}" in run(program, command, "--help").output


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    directory, nonsense = tmp_path / "consortium", tmp_path / "nonsense.json"
    run(app, "init", directory, "--name", "chest-net", "--plain-keys")
    nonsense.write_text('{"format": "collegium-request/2"}')
    for arguments in (
        ("admit", nonsense, "--dir", directory, "-o", tmp_path / "out"),
        ("admit", tmp_path / "missing.json", "--dir", directory, "-o", tmp_path / "out"),
        ("study", "sign", nonsense, "--dir", directory, "-o", tmp_path / "out"),
        ("token", "silo", "St Marys", "--dir", directory),
        ("token", "silo", "st-marys", "--dir", tmp_path),
    ):
        with pytest.raises(ConfigError):
            run(app, *arguments)
    assert not (tmp_path / "out").exists()


def test_an_error_is_one_sentence_and_a_documented_exit_code(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "deploy.consortium.app"]
    done = subprocess.run(
        [*program, "token", "silo", "st-marys", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == ConfigError.exit_code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_commands_need_no_training_library(tmp_path: Path) -> None:
    """Enrolment runs on an aggregator and on an offline machine: neither has torch."""
    check = (
        "import sys, deploy.consortium.app, silo_node.enrolment, aggregator.enrolment;"
        "sys.exit(bool({'torch', 'monai', 'opacus', 'pydicom', 'tenseal', 'dp_accounting'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT).returncode == 0


def test_a_foreign_identity_is_refused_with_its_exit_code(tmp_path: Path) -> None:
    directory = tmp_path / "consortium"
    run(app, "init", directory, "--name", "chest-net", "--plain-keys")
    enrolled(tmp_path, "silo", "st-marys")
    with pytest.raises(IdentityError) as caught:
        run(app, "study", "sign", draft(tmp_path), "--dir", directory, "-o", tmp_path / "study.yaml")
    assert caught.value.exit_code == 6
    assert not (tmp_path / "study.yaml").exists()
    assert yaml.safe_load((tmp_path / "draft.yaml").read_text())
