"""`collegium-silo ingest`: from a folder of images and a label table to a cohort. Imports the readers late."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from privacy import console, durable
from silo_node.state import StateDirectory

State = Annotated[Path, typer.Option("--state", help="State directory of this silo.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def ingest(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM files, or a CSV that lists pictures or NIfTI files.")],
    labels: Annotated[Path, typer.Option(help="CSV with the columns patient, label, split (train, val or test).")],
    cohort: Annotated[str, typer.Option(help="Name for the cohort.")],
    state: State,
    labelling: Annotated[
        Path | None, typer.Option(help="What labels are, from the study's researcher.", show_default="0 or 1")
    ] = None,
    query: Annotated[Path | None, typer.Option(help="Which series are meant.", show_default="every image")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="YAML file that says which pixels may pass.", show_default="the Basic Profile")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that read headers of many files.", min=1, max=64)] = 1,
    as_json: AsJson = False,
) -> None:
    """Read images into a de-identified cohort; what cannot be used is listed and stops nothing.

    Example: collegium-silo ingest /data/chest --labels labels.csv --cohort chest --state /var/lib/collegium
    """
    from silo_node import ingestion

    directory = StateDirectory(state)
    request = ingestion.Request(cohort, source, labels, labelling, query, profile, workers)
    with (
        durable.lock(state),
        directory.open_ledger(directory.identity()) as ledger,
        Console(stderr=True).status("reading") as status,
    ):
        made = ingestion.ingest(directory, ledger, request, lambda phase, done: status.update(f"{phase}: {done} done"))
    summary = made.summary
    console.emit(
        {
            "cohort": cohort,
            "patients": summary.patients,
            "images": summary.images,
            "quarantined": [f"{count} {code}" for code, count in sorted(summary.quarantined.items())],
            "to_look_at": [f"{count} {code}" for code, count in sorted(summary.warnings.items())],
            "without_a_label": summary.unlabelled_images,
            "profile": summary.profile,
            "shares_patients_with": list(made.overlaps),
        },
        as_json=as_json,
    )
