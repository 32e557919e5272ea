"""How a command shows what a program is doing: once, or anew every two seconds, as text or JSON; durations in words."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated

import typer
from rich.console import Console

from privacy import console
from privacy.digest import Json

SECONDS = 2.0
Watch = Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")]


def show(
    collect: Callable[[], Mapping[str, Json]],
    text: Callable[[Mapping[str, Json]], str],
    *,
    watch: bool,
    as_json: bool,
) -> None:
    """Print what is collected, on a cleared screen where it is watched.

    Args:
        collect: reads everything anew.
        text: the same for a person.
    """
    while True:
        shown = collect()
        if as_json:
            console.emit(shown, as_json=True)
        else:
            if watch:
                Console().clear()
            print(text(shown), flush=True)
        if not watch:
            return
        time.sleep(SECONDS)


def duration(seconds: Json) -> str:
    """Seconds as a person says them."""
    if not isinstance(seconds, int | float):
        return "an unknown time"
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
