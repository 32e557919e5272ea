import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from deploy.sandbox.progress import Display, SiloProgress


def line(event: str, number: int, **more: object) -> str:
    return json.dumps({"time": 100.0 + number, "event": event, "round": number, "rounds": 3, **more}) + "\n"


def test_events_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    silo = SiloProgress("north", path)
    silo.read()
    assert silo.phase == "starting"
    path.write_text(
        line("phase", 0, phase="training")
        + line("evaluated", 0, auc=0.5, accuracy=0.6, loss=0.7, patients=50)
        + line("round_closed", 1, phase="waiting", epsilon=1.5, upload_bytes=1000, parameters=99)
    )
    silo.read()
    with path.open("a") as file:
        file.write(line("round_closed", 2, phase="waiting", epsilon=2.5, upload_bytes=1000, parameters=99))
        file.write('{"half')
    silo.read()
    assert (silo.round, silo.rounds, silo.epsilon, silo.sent, silo.parameters) == (2, 3, 2.5, 2000, 99)
    assert silo.first_round_closed == 101.0
    assert silo.evaluations[0]["auc"] == 0.5


def test_a_silo_without_protection_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(line("round_closed", 1, epsilon=None, upload_bytes=10, parameters=1))
    silo = SiloProgress("north", path)
    silo.read()
    assert silo.epsilon is None


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display_names_every_silo(tmp_path: Path, terminal: bool) -> None:
    silos = [SiloProgress(name, tmp_path / name) for name in ("north", "hill")]
    shown = io.StringIO()
    display = Display(Console(file=shown, force_terminal=terminal, width=120))
    display.begin()
    display.show(silos)
    display.end()
    assert "north" in shown.getvalue()
    assert "hill" in shown.getvalue()
