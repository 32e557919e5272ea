"""Events: a closed table, no field beside it, and an error told by its code alone."""

import io
import json

import pytest

from privacy.errors import Unreachable
from privacy.operations.events import EVENTS, SILENT, Events, telling
from silo_node.rounds.progress import Progress


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_silos_progress_is_told_without_metrics() -> None:
    stream = io.StringIO()
    progress = Progress(None, 20, "chest", events=Events(stream, "silo", "chest"))
    progress.say("phase", 3, phase="waiting", upload_bytes=7)
    progress.say("round_closed", 3, upload_bytes=7, saturated=1)
    progress.say("evaluated", 3, patients=31, loss=0.5)
    progress.say("finished", 21)
    found = lines(stream)
    assert [line["event"] for line in found] == ["phase", "round_closed", "finished"]
    known = {"time", "event", "program", "study", "round"}
    assert all(line.keys() <= known | EVENTS[str(line["event"])].fields for line in found)
    assert str(found[0]["time"]).endswith("+00:00")
    assert "patients" not in stream.getvalue()


def test_an_error_is_told_by_its_code_alone() -> None:
    stream = io.StringIO()
    with pytest.raises(Unreachable), telling(Events(stream, "silo", "chest")):
        raise Unreachable("north-hospital.example does not answer", code="peer.timeout")
    assert [(line["event"], line.get("code")) for line in lines(stream)] == [
        ("started", None),
        ("failed", "peer.timeout"),
    ]
    assert "north-hospital" not in stream.getvalue()


@pytest.mark.parametrize(("event", "more"), [("other", {}), ("phase", {"patients": 3})])
def test_what_is_not_in_the_table_is_a_defect(event: str, more: dict[str, int]) -> None:
    with pytest.raises(RuntimeError):
        SILENT.say(event, 1, **more)
