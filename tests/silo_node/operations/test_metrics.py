"""What a silo's metrics say while it runs, from its own progress, ledger and log of what left."""

from datetime import UTC, datetime, timedelta

from privacy.operations.live import LiveFile
from silo_node.egress.log import EgressLog
from silo_node.operations.metrics import METRICS, Watched
from silo_node.rounds.progress import Progress
from tests.silo_node.operations.site import Site


def test_a_silos_metrics(site: Site) -> None:
    progress, egress = Progress(None, 20, "trial", LiveFile(site.state)), EgressLog(site.state, site.digest, "")
    with site.directory.open_ledger(site.directory.identity()) as ledger:
        seen = Watched(site.state, ledger, egress, lambda: progress.said)
        assert seen.lacking()
        assert "\ncollegium_round " not in seen.metrics()
        progress.say("phase", 3, phase="waiting")
        egress.count("Upload", 1000)
        egress.count("Upload", 24)
        assert not seen.lacking()
        text = seen.metrics()
        progress.unanswered(datetime.now(UTC) - timedelta(seconds=90), "peer.refused")
        assert "(peer.refused)" in seen.lacking()[0]
        (line,) = (one for one in seen.metrics().splitlines() if one.startswith("collegium_unanswered_seconds "))
        assert 90 <= float(line.split()[1]) < 100
        progress.answered(90)
        assert not seen.lacking()
    egress.close()
    for line in (
        "collegium_round 3",
        "collegium_unanswered_seconds 0",
        "collegium_rounds 21",
        'collegium_phase{phase="waiting"} 1',
        'collegium_sent_bytes_total{class="Upload"} 1024',
        "collegium_ledger_entries 2",
        "collegium_incidents 0",
    ):
        assert f"\n{line}\n" in text, text
    assert all(f"# HELP {metric.name} " in text for metric in METRICS)
