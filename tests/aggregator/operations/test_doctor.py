"""`collegium-aggregator doctor` over a state directory that is not served."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from aggregator.app import app
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import ConfigError, IdentityError
from tests.consortium import Consortium


def test_what_an_aggregator_needs(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path)
    consortium.aggregator()
    state = consortium.state("hub")

    def rows(*more: str) -> dict[str, str]:
        ended = CliRunner().invoke(app, ["doctor", "--state", str(state), "--json", *more])
        return {one["check"]: one["state"] for one in json.loads(ended.stdout.splitlines()[0])["checks"]}

    found = rows()
    assert found["name"] == found["certificate"] == found["configuration"] == "ok"
    assert found["status"] == "warning", "it does not run"
    assert rows("--at", "localhost:1")["connection"] == "failed"
    (state / "aggregator.yaml").write_text("unknown: 1")
    (state / "identity" / "tls.key").unlink()
    broken = rows()
    assert broken["configuration"] == broken["name"] == "failed"


def test_no_state_directory_and_that_of_a_silo(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["doctor", "--state", str(tmp_path / "none")])
    assert isinstance(ended.exception, ConfigError)
    Consortium(tmp_path).silo("north")
    ended = CliRunner().invoke(app, ["doctor", "--state", str(tmp_path / "north")])
    assert isinstance(ended.exception, IdentityError)
    assert ended.exception.code == "identity.other_role"


def test_the_newest_roster_statement_is_looked_at(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path)
    identity = consortium.aggregator()
    now = datetime.now(UTC) - timedelta(days=10)
    memory = StatementMemory(consortium.state("hub") / "newest-roster-statement.json", "chest-net", identity.study_key)
    memory.take(consortium.roster_statement(days=5, now=now), now)
    ended = CliRunner().invoke(app, ["doctor", "--state", str(consortium.state("hub")), "--json"])
    (row,) = [one for one in json.loads(ended.stdout.splitlines()[0])["checks"] if one["check"] == "roster statement"]
    assert (row["state"], row["code"]) == ("failed", "roster.expired")
