"""Events: a closed table, and no field beside it."""

import io
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.ledger.store import Ledger
from privacy.operations.events import EVENTS, SILENT, Events
from privacy.operations.pace import Pace
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


@pytest.mark.parametrize(("event", "more"), [("other", {}), ("phase", {"patients": 3})])
def test_what_is_not_in_the_table_is_a_defect(event: str, more: dict[str, int]) -> None:
    with pytest.raises(RuntimeError):
        SILENT.say(event, 1, **more)


def test_without_json_a_person_is_told_of_rounds_and_with_it_nobody_twice() -> None:
    for as_json in (False, True):
        stream = io.StringIO()
        events = Events(stream, "silo", "chest", as_json=as_json)
        progress = Progress(None, 20, "chest", events=events, pace=Pace(events.plain, "chest", 21, {}))
        for _ in range(3):
            progress.say("phase", 3, phase="waiting for a roster statement")
        progress.say("round_closed", 3, upload_bytes=7, silos=4, missing="west")
        progress.say("phase", 4, phase="abandoned")
        if as_json:
            assert [line["event"] for line in lines(stream)] == ["phase", "round_closed", "phase"]
        else:
            assert stream.getvalue().splitlines() == [
                "round 3 of 21: closed with 4 silos, without west, after 0 s",
                "round 4 of 21: abandoned, after 0 s",
            ]


def test_an_incident_is_told_by_its_code_alone_whoever_entered_it(tmp_path: Path) -> None:
    stream = io.StringIO()
    events = Events(stream, "silo", "chest")
    events.say("phase", 3, phase="training")
    key = Ed25519PrivateKey.generate()
    with Ledger.create(tmp_path, "spiffe://chest-net/silo/north", key) as ledger:
        ledger.append("incident", {"code": "round.abandoned", "detail": "before anybody listened: /data/4711.dcm"})
        ledger.listen(events.incident)
        ledger.append("log_read", {"what": "all", "by": "ada"})
        ledger.append("incident", {"code": "round.revoked", "detail": "/data/4711.dcm"})
    with Ledger.open(tmp_path, key) as ledger:
        ledger.listen(events.incident)  # what earlier runs entered is not told again
    found = [(line["event"], line["round"], line.get("code")) for line in lines(stream)[1:]]
    assert found == [("incident", 3, "round.abandoned"), ("incident", 3, "round.revoked")]
    assert "4711" not in stream.getvalue()


def test_a_log_that_nobody_takes_ends_nothing() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Events(Broken(), "silo", "chest").say("finished", 3)
