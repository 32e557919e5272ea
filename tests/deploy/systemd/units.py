"""Reads the systemd units of `deploy/systemd`, and which exit codes need a person."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/systemd"
NAMES = ("silo", "aggregator")


def path(name: str) -> Path:
    return FOLDER / f"collegium-{name}.service"


def values(text: str, key: str) -> list[str]:
    """All values of a key, in order; a line may repeat it."""
    return [line.partition("=")[2] for line in text.splitlines() if line.partition("=")[0] == key]


def value(name: str, key: str) -> str | None:
    """The one value of a key, if it is there."""
    found = values(path(name).read_text(), key)
    assert len(found) <= 1, key
    return found[0] if found else None


def environment(name: str) -> dict[str, str]:
    """The sample of the unit's settings."""
    lines = (FOLDER / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def command(name: str) -> list[str]:
    """The words of ExecStart with the sample settings."""
    said = value(name, "ExecStart")
    assert said is not None
    for key, setting in environment(name).items():
        said = said.replace(f"${{{key}}}", setting).replace(f"${key}", setting)
    return shlex.split(said)


def person(name: str) -> set[str]:
    """The exit codes after which nobody should start the program again by itself, as the reference says."""
    table = (ROOT / "docs/reference/exit-codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \|[^|]*\|[^|]*\| ([a-z ]+) \|$", table, re.MULTILINE)
    assert {again for _, again in rows} == {"yes", "no", "aggregator only"}
    return {code for code, again in rows if again == "no" or (again != "yes" and name not in again)} - {"0"}
