"""The summary of a sandbox run: `summary.json` for programs, a short table for people."""

import hashlib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.sandbox.processes import StepFailed
from deploy.sandbox.progress import epsilon_text
from deploy.sandbox.runner import Outcome
from privacy.digest import Json

FLOAT32 = 4
MODEL_FILE = "model.safetensors"


def summarise(outcome: Outcome, data: str, seconds_total: float, out: Path) -> dict[str, Json]:
    """The content of `summary.json`.

    Keys: see docs/reference/files.md. Times are seconds, sizes bytes, paths relative to `out`.

    Raises:
        StepFailed: the silos did not end with one model.
    """
    first = outcome.silos[0]
    digests = {hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest() for folder in outcome.models}
    if len(digests) != 1:
        raise StepFailed("the silos exported different models; this is a defect, keep the folder and report it")
    before, after = (first.evaluations.get(number, {}) for number in (0, first.rounds))
    upload = max(silo.upload_bytes for silo in outcome.silos)
    return {
        "data": data,
        "study": outcome.study.name,
        "silos": len(outcome.silos),
        "rounds": first.rounds,
        "parameters": first.parameters,
        "evaluated_on": outcome.study.evaluation.split,
        "metrics": {name: {"before": before.get(name), "after": value} for name, value in after.items()},
        "epsilon": {name: None if value is None else round(value, 4) for name, value in outcome.epsilon.items()},
        "delta": outcome.study.privacy.delta,
        "upload_bytes": upload,
        "upload_ratio": round(upload / (FLOAT32 * first.parameters), 4),
        "seconds_first_round": round(outcome.seconds_first_round, 2),
        "seconds_rounds": round(outcome.seconds_rounds, 2),
        "seconds_total": round(seconds_total, 2),
        "model": str((outcome.models[0] / MODEL_FILE).relative_to(out)),
        "model_sha256": digests.pop(),
        "report": str(outcome.report.relative_to(out)),
    }


def store(summary: dict[str, Json], out: Path) -> None:
    """Write `summary.json`."""
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def show(summary: dict[str, Any], out: Path, console: Console) -> None:
    """Print what a person wants to know."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    metrics, epsilons = summary["metrics"], summary["epsilon"]
    told = [name for name in metrics if name not in ("loss", "patients", "accuracy")]
    rows = (
        ("data", summary["data"]),
        ("training", f"{summary['silos']} silos, {summary['rounds']} rounds, {summary['parameters']:,} parameters"),
        *(
            (
                f"{name}, all silos",
                f"{_number(metrics[name]['before'])} before, {_number(metrics[name]['after'])} after "
                f"({summary['evaluated_on']})",
            )
            for name in told
        ),
        ("epsilon spent", ", ".join(f"{name} {epsilon_text(value)}" for name, value in epsilons.items())),
        ("upload", f"{summary['upload_bytes']:,} bytes a silo and round, {summary['upload_ratio']:.2f} x float32"),
        ("time", f"first round {summary['seconds_first_round']:.1f} s, whole {summary['seconds_total']:.0f} s"),
        ("model", str(out / summary["model"])),
        ("report", str(out / summary["report"])),
    )
    for name, value in rows:
        table.add_row(name, value)
    console.print(table, highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
