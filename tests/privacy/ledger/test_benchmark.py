import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_benchmark_measures_what_it_says() -> None:
    sizes = ("--appends", "20", "--entries", "3000", "--silos", "3", "--rounds", "10", "--studies", "2")
    command = [sys.executable, "-m", "benchmarks.ledger", "--json", *sizes]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert measured["append"]["per_s"] > 0
    assert measured["verify"]["entries"] == measured["verify_by_head"]["entries"] == 3000
    # Of each silo: enrolled, cohort, and of each study an approval and six entries a round; the aggregator's own.
    assert measured["report"]["entries"] == 3 * (2 + 2 * (1 + 60)) + 2 * (1 + 20)
    assert all(measured[what]["peak_mb"] > 0 for what in ("verify", "verify_by_head", "report"))
