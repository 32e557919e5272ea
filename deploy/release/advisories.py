"""Looks the pinned packages of `constraints.txt` up in PyPI's advisories, by pip-audit.

    python -m deploy.release.advisories [--required]

A known vulnerability ends with 1. Packages that the database did not answer for are counted and said: where it
answers for none of them, nothing was checked, which ends with 0 (a machine without the internet can build too) or,
with `--required`, with 2. An advisory that does not concern us is accepted in ACCEPTED with its reason, nowhere else.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

PINNED = Path(__file__).resolve().parents[2] / "constraints.txt"
SECONDS = 300
ACCEPTED: Mapping[str, str] = MappingProxyType({})
"""Advisory id to why it does not concern Collegium."""


@dataclass(frozen=True)
class Answer:
    """What the database said: how many packages it knew and did not know, and what is against which."""

    checked: int
    unknown: int
    found: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> "Answer":
        """From pip-audit's JSON. Raises ValueError when it is none."""
        try:
            packages = json.loads(text)["dependencies"]
            known = [package for package in packages if "skip_reason" not in package]
            found = tuple(
                (f"{package['name']} {package['version']}", str(flaw["id"]))
                for package in known
                for flaw in package["vulns"]
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not an answer of pip-audit") from error
        return cls(len(known), len(packages) - len(known), found)

    def verdict(self, required: bool, accepted: Mapping[str, str] = ACCEPTED) -> tuple[int, list[str]]:
        """The exit code, and what to say."""
        against = [f"{package}: {flaw}" for package, flaw in self.found if flaw not in accepted]
        if against:
            return 1, [
                *against,
                "take versions without these, or accept them in deploy/release/advisories.py with a reason",
            ]
        if not self.checked:
            return (2 if required else 0), ["advisories: the database answered for no package: NOTHING WAS CHECKED"]
        line = f"advisories: {self.checked} packages checked, {self.unknown} not known there, none vulnerable"
        return (2 if required and self.unknown else 0), [line]


def ask() -> Answer:
    """What pip-audit says of the pinned packages. Raises ValueError when it gives no answer in time."""
    pip_audit = [sys.executable, "-m", "pip_audit", "-r", str(PINNED), "--no-deps", "--disable-pip"]
    quietly = ["--progress-spinner=off", "--format=json"]
    try:
        asked = subprocess.run(  # noqa: S603 - our own interpreter, no shell
            [*pip_audit, *quietly], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"no answer within {SECONDS} seconds") from error
    return Answer.read(asked.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and say what came of it."""
    parser = argparse.ArgumentParser(description="look pinned packages up in PyPI's advisories")
    parser.add_argument("--required", action="store_true", help="fail where not every package was checked")
    required = parser.parse_args(arguments).required
    try:
        code, lines = ask().verdict(required)
    except ValueError as error:
        code, lines = (2 if required else 0), [f"advisories: {error}: NOTHING WAS CHECKED"]
    print("\n".join(lines), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
