"""Doctor compares its clock with the aggregator's, on either kind of line."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from aggregator.app import Program
from aggregator.serving import health
from privacy.channel.one_way import service
from tests.integration.doctor.looking import CALL, CLOCK, approve, examined, one_way
from tests.integration.federation import Federation


@pytest.mark.parametrize(("hours", "word"), [(2, "ahead of"), (-2, "behind")])
def test_another_clock(
    federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch, hours: int, word: str
) -> None:
    class Elsewhere(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=hours)

    state = federation.consortium.state("north")
    monkeypatch.setattr(health, "datetime", Elsewhere)
    monkeypatch.setattr(service, "datetime", Elsewhere)
    with one_way(federation, program, "north") as (behind, port):
        approve(federation, behind)
        for rows, ended in (examined(state, program.port), examined(behind, port)):
            assert (rows[CLOCK]["state"], ended) == ("warning", None)
            assert f"7200 s {word}" in rows[CLOCK]["found"]
            assert "let NTP keep it" in rows[CLOCK]["mend"]


def test_an_aggregator_that_does_not_say_its_time(
    federation: Federation, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions do not: that its clock is not compared is said."""
    finish = service.OneWay._finish
    monkeypatch.setattr(service.OneWay, "_finish", lambda *given: finish(*given[:4], given[4] if given[3] == 0 else ""))
    with one_way(federation, program, "north") as (behind, port):
        approve(federation, behind)
        rows, ended = examined(behind, port)
    assert (rows[CALL]["state"], rows[CLOCK]["state"], ended) == ("ok", "skipped", None)
    assert "not compared" in rows[CLOCK]["found"]
    assert "by phone" in rows[CLOCK]["mend"]
