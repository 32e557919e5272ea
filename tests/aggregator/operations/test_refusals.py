"""Who was refused is told at once, then once a minute with how often; a stranger has no name."""

import io
import json
import time

import pytest

from aggregator.operations.live_status import LiveStatus
from aggregator.operations.refusals import Refusals, Refused
from privacy.operations import live
from privacy.operations.events import Events
from tests.aggregator.hub import Hub
from tests.privacy.studies import study


@pytest.fixture
def refusals() -> Refusals:
    return Refusals(study())


def test_a_flood_is_a_line_a_minute_for_each_silo_and_code(refusals: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    silo = study().roster.silos[0].name
    told = []
    for second in range(121):
        now = float(second)
        refusals.count("identity.revoked", silo)
        told += refusals.due()
    assert told == [Refused(silo, "identity.revoked", times) for times in (1, 60, 60)]
    refusals.count("round.over", silo)
    assert refusals.due() == [Refused(silo, "round.over", 1)]
    assert refusals.due() == []
    assert refusals.seen() == {"identity.revoked": 121, "round.over": 1}


def test_what_came_last_is_told_although_nothing_follows(refusals: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for second in (0, 1, 2, 300):
        now = float(second)
        if second < 300:
            refusals.count("one_way.stale", "")
        told = refusals.due()
    assert told == [Refused("", "one_way.stale", 2)]


def test_whom_the_roster_does_not_name_is_nobody(refusals: Refusals) -> None:
    refusals.count("study.not_on_roster", "a name that a stranger chose")
    assert refusals.due() == [Refused("", "study.not_on_roster", 1)]


@pytest.mark.parametrize("as_json", [True, False])
def test_it_is_in_the_log(hub: Hub, as_json: bool) -> None:
    log, told = io.StringIO(), Refusals(hub.members.study)
    watched = LiveStatus(
        hub.coordinator, live.LiveFile(hub.root), Events(log, "aggregator", "chest", as_json=as_json), told
    )
    watched.start()
    told.count("identity.revoked", "north")
    told.count("identity.forbidden", "")
    watched.stop()
    lines = log.getvalue().splitlines()
    if as_json:
        found = [json.loads(line) for line in lines]
        assert [(one["code"], one.get("silo"), one["times"]) for one in found if one["event"] == "refused"] == [
            ("identity.revoked", "north", 1),
            ("identity.forbidden", None, 1),
        ]
        assert {one["round"] for one in found} == {1}
    else:
        assert lines == [
            "refused: 1 calls, silo north [identity.revoked]",
            "refused: 1 calls, silo unknown [identity.forbidden]",
        ]
