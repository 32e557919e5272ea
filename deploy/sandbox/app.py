"""`collegium-sandbox`: a whole consortium on one machine, walked from enrolment to the report."""

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from deploy.sandbox import draft
from privacy import console, durable
from privacy.errors import ConfigError

if TYPE_CHECKING:
    from deploy.sandbox.progress import Display

NAMES = ("north", "harbour", "hill", "lake", *(f"hospital-{number}" for number in range(5, 17)))
MARK = ".collegium-sandbox"
"""Stands in a folder that a sandbox made, and may therefore clear."""
SYNTHETIC_SEED = 20_260_000

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Try a whole consortium on one machine.")


@app.callback()
def _group() -> None:
    """Try a whole consortium on one machine: real commands, real processes, made or given data."""


@app.command()
def run(
    silos: Annotated[int, typer.Option(min=2, max=16, help="How many hospitals.")] = 3,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds; the study's own number if left out.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images with manifest.csv, DICOM with labels.csv, or a folder a silo; phantoms if left out."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for everything; an earlier sandbox run in it is replaced.")] = Path(
        "sandbox"
    ),
    epsilon: Annotated[float | None, typer.Option(min=0.1, help="Patient-level epsilon of the whole study.")] = None,
    no_dp: Annotated[bool, typer.Option("--no-dp", help="Train without differential privacy.")] = False,
    partition: Annotated[
        Literal["hash", "prevalence"], typer.Option(help="How --data is dealt to silos: alike, or unlike each other.")
    ] = "hash",
    evaluate_on: Annotated[
        Literal["val", "test"] | None, typer.Option(help="Held-out split for the metrics; the study's own if left out.")
    ] = None,
    study: Annotated[Path, typer.Option(help="Study draft to start from.", show_default="the sample study")] = (
        draft.TEMPLATE
    ),
    weights: Annotated[
        Path | None, typer.Option(help="The safetensors file that the study starts from, if it names one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Enrol, ingest, sign, approve, train, export and report, with real processes on loopback.

    \b
    Example:
    collegium-sandbox run --silos 3 --out sandbox
    """
    from deploy.sandbox import summary as summaries  # Pillow, pydicom and numpy are not needed for --help
    from deploy.sandbox.processes import Processes
    from deploy.sandbox.progress import Display
    from deploy.sandbox.runner import ENVIRONMENT, Consortium, Order

    if no_dp and epsilon is not None:
        raise ConfigError("--epsilon and --no-dp exclude each other; choose one")
    began = time.monotonic()
    names = NAMES[:silos]
    screen = Console(stderr=as_json)
    display = Display(screen)
    _claim(out)
    with durable.lock(out):
        _clear(out)
        with Processes(Path(sys.executable).parent, out / "logs", ENVIRONMENT) as processes:
            sources, description = _prepare(data, out / "data", names, partition, display)
            content = draft.make(study, names, draft.Choices(rounds, 0 if no_dp else epsilon, evaluate_on))
            if data is not None:
                content["privacy"]["lot_size"] = draft.planned_lot(sources, content["privacy"]["sampling_rate"])
            outcome = Consortium(Order(out, names, sources, content, weights), processes, display).run()
            result = summaries.summarise(outcome, description, time.monotonic() - began, out)
    summaries.store(result, out)
    if as_json:
        console.emit(result, as_json=True)
    else:
        summaries.show(result, out, screen)


def _prepare(
    data: Path | None, destination: Path, silos: tuple[str, ...], partition: str, display: "Display"
) -> tuple[tuple[Path, ...], str]:
    """A folder for every silo (`runner.Order`), and what the data is.

    Raises:
        ConfigError: ready folders are of another number of silos.
    """
    from deploy.sandbox import phantom, wrap
    from deploy.sandbox.runner import LABELLING

    if data is not None and (ready := sorted(path.parent for path in data.glob(f"*/{LABELLING}"))):
        if len(ready) != len(silos):
            raise ConfigError(f"{data} has folders for {len(ready)} silos; run it with --silos {len(ready)}")
        return tuple(ready), f"{data}, a folder for each silo"
    if data is not None:
        display.step(f"dealing {data} to {len(silos)} silos")
        description = wrap.wrap(data, destination, silos, wrap.Partition(partition))
        return tuple(destination / silo for silo in silos), description
    for number, plan in enumerate(phantom.plans(silos)):
        display.step(f"making synthetic DICOM studies of {plan.patients} invented patients for silo {plan.name}")
        phantom.make(plan, destination / plan.name, SYNTHETIC_SEED + 1000 * number)
    return tuple(destination / silo for silo in silos), phantom.DESCRIPTION


def _claim(out: Path) -> None:
    """Make `out` a folder of ours.

    Raises:
        ConfigError: it holds something that no sandbox wrote.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise ConfigError(f"{out} is not a folder that a sandbox made; choose another --out", code="config.not_empty")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def _clear(out: Path) -> None:
    """Remove what an earlier run left."""
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (MARK, "lock"):
            path.unlink()


def main() -> None:
    """The command's entry point."""
    console.run(app)


if __name__ == "__main__":
    main()
