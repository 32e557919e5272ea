"""`collegium-aggregator doctor` over a state directory that is not served."""

import json
from pathlib import Path

from typer.testing import CliRunner

from aggregator.app import app
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
