"""`collegium-aggregator status` over the real program, while it runs and after it was killed."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aggregator.app import app
from aggregator.operations.live_status import LiveStatus
from aggregator.operations.metrics import METRICS
from aggregator.operations.status import collect, past, text
from privacy.channel import roster_statement
from privacy.channel.files import publish
from privacy.operations import live
from privacy.study import dump, sign
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.e2e import commands
from tests.e2e.processes import end, wait


@pytest.fixture(scope="module")
def state(members: Members) -> Iterator[Path]:
    """A real aggregator that serves, by the real command."""
    root = members.consortium.root
    state, study, port = members.consortium.state("hub"), root / "study.yaml", root / "port"
    study.write_text(dump(sign(members.study, members.consortium.authority.study_key)))
    publish(state / "roster-statement.json", roster_statement.dump(members.statement))
    process = commands.start(
        root / "serve",
        *("aggregator", "serve", "--state", state, "--study", study),
        *("--listen", "localhost:0", "--port-file", port, "--watch-at", f"unix:{root / 'watch'}", "--log-json"),
    )
    try:
        wait((root / "watch").exists, process, patience=30)
        yield state
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert asked(state)["running"] is False
        assert "NOT running" in CliRunner().invoke(app, ["status", "--state", str(state)]).output
    finally:
        end(process)


def asked(state: Path) -> dict[str, Any]:
    ended = CliRunner().invoke(app, ["status", "--state", str(state), "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


def test_a_running_aggregator_and_a_killed_one(state: Path) -> None:
    found = asked(state)
    assert found["running"] is True
    assert (found["round"], found["phase"]) == (1, "exchanging keys")
    assert found["awaited"] == ["north", "south", "east"]
    assert found["certificate_days_left"] > 700 or found["certificate_days_left"] > 300
    shown = CliRunner().invoke(app, ["status", "--state", str(state)]).output
    assert "awaited       north, south, east" in shown
    assert "statement     serial 1, 29 days left" in shown


def test_an_expired_roster_statement_is_shown_as_such(state: Path) -> None:
    found = collect(state, datetime.now(UTC) + timedelta(days=31))
    assert isinstance(statement := found["statement"], dict)
    assert statement["days_left"] == -2
    (row,) = [line for line in text(found).splitlines() if line.startswith("statement ")]
    assert "serial 1, EXPIRED on 20" in row
    assert "'collegium-consortium roster-statement'" in row


def test_its_metrics_and_its_health(state: Path) -> None:
    def told(path: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(state.parent / "watch"))
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()

    assert told("/livez").startswith("HTTP/1.0 200")
    assert told("/readyz").startswith("HTTP/1.0 200")
    text = told("/metrics")
    left = re.search(r"^collegium_roster_statement_seconds_left (\d+)", text, re.MULTILINE)
    assert left
    assert 29 * 86400 < int(left[1]) < 30 * 86400
    assert 'collegium_silo_awaited{silo="south"} 1\n' in text
    assert 'collegium_phase{phase="exchanging keys"} 1\n' in text
    assert all(f"# HELP {metric.name} " in text for metric in METRICS)


def test_its_log_is_events(state: Path) -> None:
    lines = [json.loads(line) for line in (state.parent / "serve.err").read_text().splitlines()]
    assert [(line["event"], line["program"], line["round"]) for line in lines[:3]] == [
        ("started", "aggregator", 0),
        ("serving", "aggregator", 0),
        ("phase", "aggregator", 1),
    ]
    assert lines[2]["phase"] == "exchanging keys"
    assert (state.parent / "serve.out").read_text() == ""


def test_it_is_written_while_the_rounds_go_on(hub: Hub) -> None:
    watched = LiveStatus(hub.coordinator, live.LiveFile(hub.root))
    watched.start()
    try:
        hub.advertise(1)
    finally:
        watched.stop()
    found = live.read(hub.root)
    assert found is not None
    assert found.said["done"] == ["north"]


def test_dropouts_are_told_from_the_ledger(large: Hub) -> None:
    large.upload_all(1, (1, 2, 3, 4))
    large.work()
    for step in (large.sign, large.unmask, large.close):
        for index in large.everyone:
            step(index)
    large.set_up(2, (1, 2, 3))
    large.upload_all(2, (1, 2, 3))
    large.now += 1000
    large.work()
    large.ledger.append("study_published", {"study_digest": large.members.study.digest().hex()})
    found = past(large.ledger.entries, ["north", "south", "east", "west"])
    assert found["rounds_closed"] == 1
    assert found["in_sums"] == [
        *({"silo": name, "last_sum": 2, "missed": 0} for name in ("north", "south", "east")),
        {"silo": "west", "last_sum": 1, "missed": 1},
    ]
