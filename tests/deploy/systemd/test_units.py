"""The systemd units: real commands, few rights, secrets that outlive a restart, restarts that help."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from privacy.channel.tls import host_and_port
from silo_node.rounds.round_vault import MEMORY, default_folder
from tests.deploy.systemd import confined, units
from tests.deploy.systemd.units import FOLDER, NAMES, value

COMPOSED = FOLDER.parent / "compose/collegium-silo-compose.service"
MOST_EXPOSED = 2.0
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)


def exposure(unit: Path) -> float:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True
    ).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_a_unit_gives_few_rights(name: str) -> None:
    assert exposure(units.path(name)) < MOST_EXPOSED


@needs_systemd
def test_a_unit_without_its_walls_is_found_out(tmp_path: Path) -> None:
    text = units.path("silo").read_text()
    for wall in ("CapabilityBoundingSet=\n", "NoNewPrivileges=yes\n", "ProtectSystem=strict\n", "PrivateUsers=yes\n"):
        assert wall in text
        text = text.replace(wall, "")
    (tmp_path / "collegium-silo.service").write_text(text)
    assert exposure(tmp_path / "collegium-silo.service") > MOST_EXPOSED


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_every_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    unit = tmp_path / f"collegium-{name}.service"
    unit.write_text(units.path(name).read_text().replace(units.command(name)[0], str(tmp_path / "program")))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(("name", "module"), [("silo", "silo_node.app"), ("aggregator", "aggregator.app")])
def test_the_command_of_a_unit_exists(name: str, module: str) -> None:
    program, subcommand, *rest = units.command(name)
    assert Path(program).name == f"collegium-{name}"
    known: Any = typer.main.get_command(importlib.import_module(module).app).commands[subcommand]  # type: ignore[attr-defined]
    known.make_context("unit", list(rest))
    assert rest[rest.index("--state") + 1] == f"/var/lib/{value(name, 'StateDirectory')}"
    assert rest[rest.index("--watch-at") + 1].startswith(f"unix:/run/{value(name, 'RuntimeDirectory')}/")


def test_a_rounds_secrets_outlive_a_restart_of_the_silo() -> None:
    """Record 10: they lie in /dev/shm, in a folder named by user and state directory."""
    assert default_folder(Path("/var/lib/collegium-silo")).parent == MEMORY == Path("/dev/shm")
    text = units.path("silo").read_text()
    assert not units.values(text, "DynamicUser")  # implies RemoveIPC=yes, and a user that may change
    assert not units.values(text, "RemoveIPC")
    assert value("silo", "User") == "collegium-silo"
    hidden = ("TemporaryFileSystem", "InaccessiblePaths", "ReadOnlyPaths", "RootDirectory", "RootImage")
    assert not any(units.values(text, key) for key in hidden)


def test_what_needs_a_person_is_not_started_again() -> None:
    for name in NAMES:
        assert set((value(name, "RestartPreventExitStatus") or "").split()) == units.person(name)
        assert value(name, "Restart") == "on-failure"


def test_what_passes_is_started_again_for_as_long_as_it_takes() -> None:
    """Ten starts an hour, a minute apart, let a disk that was full for eleven minutes end a silo for good."""
    for text in (*(units.path(name).read_text() for name in NAMES), COMPOSED.read_text()):
        assert units.values(text, "StartLimitIntervalSec") == ["0"]
        assert not units.values(text, "StartLimitBurst")
        (pause,) = units.values(text, "RestartSec")
        assert 1 <= int(pause) <= 60
        assert not {"1", "9", "10", "14", "75"} & set(units.values(text, "RestartPreventExitStatus")[0].split())


def test_a_silo_waits_as_long_whatever_starts_it() -> None:
    """Not ten minutes: an aggregator that moves house, or a roster statement that is renewed late, takes days."""
    said = {
        found
        for place in ("systemd/collegium-silo.service", "compose/silo.yaml", "kubernetes/run.yaml")
        for found in re.findall(r"--patience[= ](\d+)", (FOLDER.parent / place).read_text()) or [place]
    }
    assert said == {str(7 * 24 * 3600)}


def test_the_port_of_the_unit_is_the_port_of_its_settings() -> None:
    _, port = host_and_port(units.environment("aggregator")["LISTEN"])
    assert value("aggregator", "SocketBindAllow") == f"tcp:{port}"
    assert host_and_port(units.environment("silo")["AGGREGATOR"])[1] == port
    for name in NAMES:
        assert value(name, "SocketBindDeny") == "any"


def test_the_users_of_the_units_are_made(tmp_path: Path) -> None:
    declared = re.findall(r"^u (\S+) - ", (FOLDER / "sysusers.conf").read_text(), re.MULTILINE)
    assert declared == [value(name, "User") for name in NAMES]


@pytest.mark.skipif(not confined.possible(), reason="needs Linux 6.3, libseccomp and systemd-analyze")
@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_keeps_a_confined_program_to_its_unit(name: str) -> None:
    """That the filter used by the slow test is one: a call that is not in the unit is refused, others are not."""
    ask = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True);"
        "status = dict(l.split(':', 1) for l in open('/proc/self/status'));"
        "print(libc.getppid() > 0, libc.setpriority(0, 0, 0), ctypes.get_errno(),"
        " status['Seccomp'].strip(), status['NoNewPrivs'].strip(), libc.prctl(66, 0, 0, 0, 0))"
    )
    words = [sys.executable, confined.__file__, units.path(name), sys.executable, "-c", ask]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert said == ["True", "-1", "1", "2", "1", "1" if name == "aggregator" else "0"]
