"""The dashboard shows metrics that exist, and all that a person should look at."""

import json
import re
from pathlib import Path

from aggregator.operations.metrics import METRICS as AGGREGATOR
from silo_node.operations.metrics import METRICS as SILO

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/collegium.json"


def test_the_dashboard_knows_the_metrics() -> None:
    board = json.loads(DASHBOARD.read_text())
    shown = {
        name
        for panel in board["panels"]
        for one in panel["targets"]
        for name in re.findall(r"collegium_[a-z_]+", one["expr"])
    }
    names = {metric.name for metric in (*AGGREGATOR, *SILO)}
    assert shown <= names
    assert names - shown <= {"collegium_silos_needed"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_no_metric_is_about_patients() -> None:
    for metric in (*AGGREGATOR, *SILO):
        assert not re.search(r"patient|image|cohort|lot|label(?!s)", metric.name + metric.what)
