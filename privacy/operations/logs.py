"""Everything that a long-running program says beside its events is made one: log records, defects, and how it ends.

What a library says, and the text of an error that is not ours, may quote what it read, so of these only who said it, of
what kind and where in the code is told. A foreign record is told once for each place that it comes from. A
record of our own may have a `code`, and is then a warning with its text, or the `incident` that a caller was told.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from privacy.console import EX_INTERRUPTED, EX_SOFTWARE
from privacy.digest import Json
from privacy.errors import CollegiumError
from privacy.operations.events import Events

OURS = ("privacy", "silo_node", "aggregator", "imaging")
FRAMES = 12
"""How many of a defect's places in the code are told, the innermost ones."""
DEFECT = "defect"


@contextmanager
def telling(events: Events) -> Iterator[None]:
    """Meanwhile make events of log records and of what no code catches; then say that an error ended the program.

    Where events are JSON, nothing else is left to be printed.

    Raises:
        typer.Exit: in the place of the error, where events are JSON. The error itself, where they are not.
    """
    handler, hooks = _Handler(events), (threading.excepthook, sys.unraisablehook)
    logging.getLogger().addHandler(handler)
    threading.excepthook = lambda ended: _defect(events, ended.exc_value)
    sys.unraisablehook = lambda ended: _defect(events, ended.exc_value)
    try:
        yield
    except CollegiumError as error:
        _ended(events, error, error.exit_code, code=error.code, sentence=str(error))
        raise
    except KeyboardInterrupt as error:
        _ended(events, error, EX_INTERRUPTED, code="interrupted")
        raise
    except Exception as error:
        if events.as_json:  # else it is printed in full by `console.run`
            _defect(events, error)
        _ended(events, error, EX_SOFTWARE, code=DEFECT)
        raise
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        logging.getLogger().removeHandler(handler)


def defect(error: BaseException) -> dict[str, Json]:
    """What is told of an error that is not ours: its kind and where it was raised, and not its text."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    where: list[Json] = [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
    return {"kind": type(error).__qualname__, "where": where}


class _Handler(logging.Handler):
    """Makes events of log records."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events
        self._told: set[tuple[str, int]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Say it as an event."""
        code, number = getattr(record, "code", None), getattr(record, "incident", None)
        error = record.exc_info[1] if record.exc_info else None
        ours = record.name.partition(".")[0] in OURS
        if ours and isinstance(code, str):
            self._events.say("warning", None, code=code, sentence=record.getMessage())
        elif error is not None:
            _defect(self._events, error, number if ours and isinstance(number, str) else "")
        elif (place := (record.pathname, record.lineno)) not in self._told:
            self._told.add(place)
            self._events.say("library", None, logger=record.name, level=record.levelname)


def _defect(events: Events, error: BaseException | None, incident: str = "") -> None:
    if error is not None:
        more: dict[str, Json] = {"incident": incident} if incident else {}
        events.say(DEFECT, None, **defect(error), **more)


def _ended(events: Events, error: BaseException, exit_code: int, **more: Json) -> None:
    events.say("failed", None, **more)
    if events.as_json:
        raise typer.Exit(exit_code) from error
