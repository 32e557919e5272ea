"""How every Collegium command speaks to a person: one sentence for an error, JSON on request.

Programs are Typer applications; `run` is their entry point. A `CollegiumError` becomes one sentence
on standard error and its documented exit code. An unforeseen exception keeps its traceback, as it
is a defect to be reported, and exits with 70 (EX_SOFTWARE).
"""

import json
import os
import pwd
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import typer

from privacy.digest import Json
from privacy.errors import CollegiumError, ConfigError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
WatchAt = Annotated[
    str | None,
    typer.Option(help="Answer /livez, /readyz and /metrics at 127.0.0.1:PORT or unix:PATH.", show_default="nowhere"),
]
LogJson = Annotated[bool, typer.Option("--log-json", help="Write events as JSON lines to standard error.")]

AnswerT = TypeVar("AnswerT")

EX_SOFTWARE = 70
EX_INTERRUPTED = 130


def run(app: typer.Typer) -> None:
    """Run a Typer application and exit with a documented code.

    Warnings of libraries, which quote what they read, are shown only where Python is told to (`-W`, PYTHONWARNINGS).
    """
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            app()
    except CollegiumError as error:
        print(f"error: {error} [{error.code}]", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EX_INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last place: shown in full, then a documented exit code
        traceback.print_exc()
        print("error: this is a defect of Collegium; please report the lines above", file=sys.stderr)
        sys.exit(EX_SOFTWARE)


def answered(ask: Callable[[], AnswerT]) -> AnswerT:
    """What a person answers to a question that `--yes` answers, too.

    Raises:
        ConfigError: there is nobody to ask.
    """
    try:
        return ask()
    except typer.Abort as error:
        if sys.stdin.isatty():
            raise  # Ctrl-C
        raise ConfigError(
            "this asks before it goes on, and there is no terminal to answer on; nothing was changed: give --yes",
            code="config.no_terminal",
        ) from error


def user_name() -> str:
    """The system's name of who runs this; not from the environment, which that person sets."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def emit(data: Mapping[str, Json], *, as_json: bool) -> None:
    """Print a mapping for a program (one JSON object) or for a person (a line a key)."""
    if as_json:
        print(json.dumps(data, sort_keys=True))
        return
    width = max((len(key) for key in data), default=0)
    for key, value in data.items():
        shown = ", ".join(str(item) for item in value) if isinstance(value, list) else value
        print(f"{key.replace('_', ' '):<{width}}  {shown}")
