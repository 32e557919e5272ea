"""Runs the installed commands as processes, as a person would, and keeps what they said."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from privacy.errors import CollegiumError

PROGRAMS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
PATIENCE = 240.0
"""Seconds after which a command counts as hung."""

TOLD = (
    r"(?:study '[^'\n/]+': [^\n/]+|round \d+ of \d+: [^\n/]+"
    r"|(?:warning|incident): [^\n]+ \[[a-z_.0-9]+\]|the aggregator answers again[^\n]+)"
)
"""A line that a running silo says to a person on standard error."""
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2);"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    def well(self) -> "Ended":
        """Itself, when it ended well."""
        assert self.code == 0, f"{' '.join(self.command)} ended with {self.code}:\n{self.out}\n{self.err}"
        return self

    def data(self) -> dict[str, Any]:
        """The one JSON object that it printed, and nothing beside it."""
        parsed = json.loads(self.out)
        assert isinstance(parsed, dict)
        return parsed

    def refused(self, kind: type[CollegiumError], code: str, hint: str) -> str:
        """Its one sentence, when it ended as that error with that code, and says what to do (`hint`).

        A `run` may have told of its phases, and of an aggregator that does not answer, before.
        """
        shown = f"{' '.join(self.command)} ended with {self.code}:\n{self.out}\n{self.err}"
        assert self.code == kind.exit_code, shown
        assert re.fullmatch(rf"(?:{TOLD}\n)*error: [^\n]+ \[[a-z_.0-9]+\]\n", self.err), shown
        assert self.err.endswith(f"[{code}]\n"), shown
        assert hint in self.err, shown
        return self.err


def program(name: str) -> str:
    """The file of an installed command."""
    return str(PROGRAMS / name)


def run(
    name: str,
    *arguments: object,
    under: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> Ended:
    """Run `collegium-NAME` to its end; `under` is put before it (a wrapper)."""
    command = (*under, program(f"collegium-{name}"), *(str(argument) for argument in arguments))
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        env={**ENVIRONMENT, **(environment or {})},
        check=False,
    )
    return Ended(command, done.returncode, done.stdout, done.stderr)


def start(log: Path, name: str, *arguments: object) -> "subprocess.Popen[bytes]":
    """Start `collegium-NAME`; it says what it says to `log`.out and `log`.err."""
    return spawn(log, program(f"collegium-{name}"), *arguments)


def spawn(log: Path, *command: object, cwd: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start any program, with our environment and that log."""
    with log.with_suffix(".out").open("ab") as out, log.with_suffix(".err").open("ab") as err:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=ENVIRONMENT,
        )


def file_limit(size: int) -> tuple[str, ...]:
    """A wrapper under which no file can grow beyond `size` bytes: the kernel's refusal, without a full disk."""
    return (sys.executable, "-c", LIMITED, str(size))


def note(transcript: Path, ended: Ended) -> None:
    """Keep a command and what it said, for tests that look at all of them."""
    with transcript.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(ended)) + "\n")


def noted(transcript: Path) -> list[Ended]:
    """All that was kept."""
    lines = (json.loads(line) for line in transcript.read_text(encoding="utf-8").splitlines())
    return [Ended(tuple(line["command"]), line["code"], line["out"], line["err"]) for line in lines]
