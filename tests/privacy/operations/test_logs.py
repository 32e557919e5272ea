"""Whatever a long-running program says is an event, and says nothing of what an error that is not ours quotes."""

import io
import json
import logging
import sys
import threading
from typing import Any

import pytest
import typer

from privacy.errors import CollegiumError, Unreachable
from privacy.operations.events import Events
from privacy.operations.logs import telling

SECRET = "Roe^Ada in /data/4711.dcm"


def fails() -> None:
    raise ValueError(SECRET)


def told(as_json: bool = True, *doing: Any) -> list[dict[str, Any]]:
    """What is said while all of `doing` is done, the last of which ends the program."""
    stream = io.StringIO()
    events = Events(stream, "silo", as_json=as_json)
    try:
        with telling(events):
            events.begin("chest")
            for one in doing:
                one()
    except (typer.Exit, CollegiumError, ValueError):
        pass
    assert SECRET not in stream.getvalue()
    return [json.loads(line) if as_json else {"line": line} for line in stream.getvalue().splitlines()]


def test_an_error_is_the_last_event_with_what_a_person_is_told() -> None:
    stream = io.StringIO()
    with pytest.raises(typer.Exit) as caught, telling(Events(stream, "silo")):
        raise Unreachable("nobody answers; start it", code="peer.timeout")
    assert caught.value.exit_code == Unreachable.exit_code
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["code"], line["sentence"]) == ("failed", "peer.timeout", "nobody answers; start it")


def test_without_json_the_error_itself_goes_on() -> None:
    with pytest.raises(Unreachable), telling(Events(io.StringIO(), "silo", as_json=False)):
        raise Unreachable("nobody answers; start it")


def test_a_defect_is_told_by_its_kind_and_place() -> None:
    *_, defect, failed = told(True, fails)
    assert defect["event"] == "defect"
    assert defect["kind"] == "ValueError"
    assert defect["where"][-1].startswith("operations/test_logs.py:")
    assert defect["where"][-1].endswith(" fails")
    assert (failed["event"], failed["code"]) == ("failed", "defect")


@pytest.mark.parametrize(("error", "code"), [(ValueError(SECRET), 70), (KeyboardInterrupt(), 130)])
def test_the_exit_code_is_the_documented_one(error: BaseException, code: int) -> None:
    with pytest.raises(typer.Exit) as caught, telling(Events(io.StringIO(), "silo")):
        raise error
    assert caught.value.exit_code == code


def test_a_thread_that_ends_by_a_defect_is_told() -> None:
    def work() -> None:
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()

    for as_json in (True, False):
        assert "ValueError" in str(told(as_json, work)[-1])


def test_what_python_cannot_raise_is_told() -> None:
    class Dying:
        def __del__(self) -> None:
            fails()

    (_, line) = told(True, Dying)
    assert (line["event"], line["kind"]) == ("defect", "ValueError")


def test_our_own_records_are_warnings_with_their_text() -> None:
    ours = logging.getLogger("privacy.channel.tls")
    (_, line) = told(True, lambda: ours.error("not used: %s", "x", extra={"code": "identity.expired"}))
    assert (line["event"], line["code"], line["sentence"]) == ("warning", "identity.expired", "not used: x")


def test_a_defect_that_a_peer_was_told_a_number_of_has_it() -> None:
    def call() -> None:
        try:
            fails()
        except ValueError as error:
            logging.getLogger("privacy.channel.status").error("x", exc_info=error, extra={"incident": "ab12"})

    (_, line) = told(True, call)
    assert (line["event"], line["incident"], line["kind"]) == ("defect", "ab12", "ValueError")
    assert "incident ab12" in told(False, call)[-1]["line"]


def test_what_a_library_logs_is_told_once_and_without_its_text() -> None:
    def chatter() -> None:
        for _ in range(100):
            logging.getLogger("somebody.else").warning(SECRET)

    (_, line) = told(True, chatter)
    assert (line["event"], line["logger"], line["level"]) == ("library", "somebody.else", "WARNING")
    assert told(False, chatter) == []


def test_afterwards_all_is_as_before() -> None:
    before = logging.getLogger().handlers[:], threading.excepthook, sys.unraisablehook
    told(True, fails)
    assert (logging.getLogger().handlers, threading.excepthook, sys.unraisablehook) == before
