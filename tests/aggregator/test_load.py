import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_benchmark_measures_what_it_says() -> None:
    sizes = ("--silos", "5", "--parameters", "3000000", "--processes", "2", "--resets", "8")
    command = [sys.executable, "-m", "benchmarks.load", "--json", *sizes]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    sent = 5 * measured["upload_bytes"]
    plain, resets, killed = (measured["rounds"][name] for name in ("plain", "resets", "killed"))
    assert sent < plain["upload_messages_bytes"] < 1.01 * sent
    # What goes back: the sum and one frame of each of five uploads, for each of five.
    assert plain["bytes_from_aggregator"] > 5 * measured["upload_bytes"]
    assert resets["resets"] > 0 == plain["resets"]
    assert resets["connections"] > 0
    assert killed["connections"] >= 5
    # A line that broke, and an aggregator that was killed, cost what was on its way: no upload began anew.
    assert sent < killed["upload_messages_bytes"] < 1.5 * sent
    assert plain["bytes_to_aggregator"] < resets["bytes_to_aggregator"] < 2 * plain["bytes_to_aggregator"]
    assert 0 < killed["serving_s"] < killed["next_upload_s"]
    assert all(0 < round_["peak_mb"] < 600 and round_["cpu_s"] > 0 for round_ in (plain, resets, killed))
