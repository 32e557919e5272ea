import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from deploy.sandbox.progress import Display, SiloProgress
from deploy.sandbox.spending import Mechanism, Meter


def line(event: str, number: int, **more: object) -> str:
    return json.dumps({"time": 100.0 + number, "event": event, "round": number, "rounds": 3, **more}) + "\n"


def test_events_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    silo = SiloProgress("north", path)
    silo.read()
    assert silo.phase == "starting"
    path.write_text(
        line("phase", 0, phase="training")
        + line("evaluated", 1, after_round=0, auc=0.5, accuracy=0.6, loss=0.7, patients=50)
        + line("round_closed", 1, phase="waiting", upload_bytes=1000, parameters=99)
    )
    silo.read()
    with path.open("a") as file:
        file.write(line("round_closed", 2, phase="waiting", upload_bytes=1000, parameters=99))
        file.write('{"half')
    silo.read()
    assert (silo.closed, silo.rounds, silo.sent, silo.parameters) == (2, 3, 2000, 99)
    assert silo.first_round_closed == 101.0
    assert silo.evaluations[0]["auc"] == 0.5


def test_metrics_of_any_task_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "silo"
    path.write_text(line("evaluated", 1, after_round=0, dice=0.5, dice_lesion=None, loss=0.7, patients=50))
    silo = SiloProgress("north", path)
    silo.read()
    assert silo.evaluations == {0: {"dice": 0.5, "dice_lesion": 0.0, "loss": 0.7, "patients": 50.0}}


def test_the_round_that_only_carries_metrics_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(line("round_closed", 4, upload_bytes=10) + line("finished", 4))
    silo = SiloProgress("north", path)
    silo.read()
    assert (silo.closed, silo.phase) == (3, "finished")


def test_the_meter_never_understates_finished_rounds_once_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.sandbox.spending.PAUSE", 0.0)
    meter = Meter(Mechanism(0.25, 1.1, 1, 1e-4))
    assert meter.after(0) == 0
    assert 0 < (meter.after(1) or 0) < (meter.after(5) or 0)
    assert Meter(None).after(3) is None


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display_names_every_silo(tmp_path: Path, terminal: bool) -> None:
    silos = [SiloProgress(name, tmp_path / name) for name in ("north", "hill")]
    shown = io.StringIO()
    display = Display(Console(file=shown, force_terminal=terminal, width=120))
    display.begin(Meter(None))
    display.show(silos)
    display.end()
    assert "north" in shown.getvalue()
    assert "hill" in shown.getvalue()
