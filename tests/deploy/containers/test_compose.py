"""The compose files, with their own sample settings filled in, say what they must."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from compose_spec import PyCompose

import aggregator.app
import silo_node.app
from deploy.containers import health
from tests.docs.pages import ROOT

FOLDER = ROOT / "deploy" / "compose"
SIDES = ("silo", "aggregator")
DIGEST = "sha256:" + "0" * 64
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def settings(side: str) -> dict[str, str]:
    """The sample settings, with an image."""
    lines = (FOLDER / f"{side}.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    image = f"COLLEGIUM_{side.upper()}_IMAGE"
    assert values[image] == "", "a sample cannot know the digest"
    return values | {image: DIGEST}


def filled(side: str) -> str:
    """The file as compose reads it: variables replaced, as the specification says."""
    values = settings(side)

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        assert values.get(name) or kind == "-", f"{name} is asked for, and {side}.env does not name it"
        return values.get(name) or default

    return VARIABLE.sub(value, (FOLDER / f"{side}.yaml").read_text())


def service(side: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(filled(side))["services"][side]
    return found


@pytest.mark.parametrize("side", SIDES)
def test_it_is_of_the_compose_specification(side: str) -> None:
    assert PyCompose.from_yaml(filled(side)).service_names() == [side]
    for wrong in ("    read_onyl: true", "    read_only: perhaps"):
        with pytest.raises(ValueError, match="read_on"):
            PyCompose.from_yaml(filled(side).replace("    read_only: true", wrong))


@pytest.mark.parametrize("side", SIDES)
def test_the_settings_are_those_that_the_file_asks_for(side: str) -> None:
    assert {found[0] for found in VARIABLE.findall((FOLDER / f"{side}.yaml").read_text())} == set(settings(side))


@pytest.mark.parametrize("side", SIDES)
def test_it_is_locked_down(side: str) -> None:
    told = service(side)
    assert told["user"] == "10001:10001"
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["image"] == DIGEST
    assert told["pull_policy"] == "never"
    (tmp,) = told["tmpfs"]
    assert tmp.startswith("/tmp:")
    assert {"noexec", "nosuid", "nodev"} < set(tmp.split(":")[1].split(","))
    assert set(told["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert not {"privileged", "devices", "cap_add", "environment", "env_file", "pid", "ipc", "network_mode"} & set(told)
    assert "docker.sock" not in str(told)


@pytest.mark.parametrize("side", SIDES)
def test_only_the_state_and_memory_can_be_written(side: str) -> None:
    volumes = service(side)["volumes"]
    writable = {volume["target"]: volume["source"] for volume in volumes if not volume.get("read_only")}
    assert set(writable) == ({"/state", "/run/collegium"} if side == "silo" else {"/state"})
    assert all(volume["type"] == "bind" and volume["bind"] == {"create_host_path": False} for volume in volumes)
    if side == "silo":
        assert Path("/dev/shm") in Path(writable["/run/collegium"]).parents
        kind, folder, mode, user, group, _ = (FOLDER / "collegium-silo.conf").read_text().splitlines()[-1].split()
        assert (kind, folder, mode, user, group) == ("d", writable["/run/collegium"], "0700", "10001", "10001")


def test_the_aggregator_has_one_port_and_the_silo_none() -> None:
    assert "ports" not in service("silo")
    assert service("aggregator")["ports"] == ["8443:8443"]
    assert "expose" not in service("silo")


@pytest.mark.parametrize(("side", "module"), [("silo", silo_node.app), ("aggregator", aggregator.app)])
def test_its_command_is_one_of_the_program(side: str, module: Any) -> None:
    name, *options = service(side)["command"]
    command: Any = typer.main.get_command(module.app)
    known = {option: parameter for parameter in command.commands[name].params for option in parameter.opts}
    given = {option.split("=")[0] for option in options}
    assert given <= set(known)
    assert {parameter.opts[0] for parameter in command.commands[name].params if parameter.required} <= given
    assert f"--watch-at=unix:{health.SOCKET}" in options


def test_a_silo_is_started_again_only_where_that_helps() -> None:
    assert service("silo")["restart"] == "no"
    container, host = (
        re.findall(r"^(Restart\w*=.*)$", (ROOT / "deploy" / path).read_text(), re.MULTILINE)
        for path in ("compose/collegium-silo-compose.service", "systemd/collegium-silo.service")
    )
    assert container == host
    assert "Restart=on-failure" in host
