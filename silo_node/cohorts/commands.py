"""`collegium-silo ingest`, `cohort show`, `cohort close` and `preview`: making a cohort, looking at it, and closing it.

Imports the readers late.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from privacy import console, durable
from privacy import study as studies
from privacy.attribution import By, Reason, checked
from privacy.console import AsJson
from privacy.digest import Json
from privacy.errors import DataError
from privacy.ledger.facts import closing
from silo_node.cohorts import private_folder
from silo_node.state import StateDirectory

if TYPE_CHECKING:
    from imaging.cohorts.cohort import Cohort
    from imaging.cohorts.survey import Survey

app = typer.Typer(no_args_is_help=True, help="The cohorts of this hospital, for its own eyes.")
PAGE = "index.html"
_LISTED = 8
State = Annotated[Path, typer.Option("--state", help="State directory of this silo.")]


def ingest(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM files, or a CSV that lists pictures or NIfTI files.")],
    labels: Annotated[Path, typer.Option(help="CSV with the columns patient, label, split (train, val or test).")],
    cohort: Annotated[str, typer.Option(help="Name for the cohort.")],
    state: State,
    labelling: Annotated[
        Path | None,
        typer.Option(help="Labelling file that came with the study: what labels mean.", show_default="0 or 1"),
    ] = None,
    query: Annotated[
        Path | None, typer.Option(help="YAML file that says which series to take.", show_default="every image")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="YAML file that says which pixels may pass.", show_default="the Basic Profile")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that read headers of many files.", min=1, max=64)] = 1,
    as_json: AsJson = False,
) -> None:
    """Read images into a de-identified cohort; what cannot be used is listed and stops nothing.

    Example: collegium-silo ingest /data/chest --labels labels.csv --cohort chest --state /var/lib/collegium
    """
    from silo_node.cohorts import ingestion

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


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The cohort.")],
    state: State,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New folder for a page with pictures and histograms.")
    ] = None,
    most: Annotated[int, typer.Option(help="Pictures on the page; those with warnings first.", min=1, max=5000)] = 200,
    as_json: AsJson = False,
) -> None:
    """Count what is in a cohort, and draw it on a page. Nothing of it is sent, and nothing is written elsewhere.

    Example: collegium-silo cohort show chest -o look --state /var/lib/collegium
    """
    from imaging.cohorts import portrait, survey
    from silo_node.cohorts.ingestion import open_cohort
    from silo_node.imaging_errors import imaging_errors

    if output is not None:
        private_folder.check(output)
    cohort = open_cohort(StateDirectory(state), name)
    with imaging_errors(), Console(stderr=True).status("reading") as status:
        if output is None:
            found = survey.survey(cohort, lambda place, _: status.update(f"{place.number} images read"))
        else:
            found, shown, page = portrait.draw(cohort, most, lambda done: status.update(f"{done} images read"))
    if output is not None:
        private_folder.write(output, {PAGE: page.encode()})
    if as_json:
        drawn: Json = None if output is None else {"page": str(output / PAGE), "images": list(shown)}
        console.emit(_figures(cohort, found) | {"drawn": drawn}, as_json=True)
        return
    print(_describe(cohort, found))
    if output is not None:
        print(f"\n{len(shown)} of {sum(found.images.values())} images are on the page {output / PAGE}")


@app.command()
def close(
    name: Annotated[str, typer.Argument(help="The cohort.")],
    state: State,
    reason: Reason,
    by: By = None,
) -> None:
    """Close a cohort for good: no study is approved for it or trained on it any more. Stop a running silo first.

    Example: collegium-silo cohort close chest --reason "the archive moves" --state /var/lib/collegium
    """
    who, why = checked(by, reason)
    directory = StateDirectory(state)
    with durable.lock(state), directory.open_ledger(directory.identity()) as ledger:
        closing.close(ledger, name, who, why)
    print(
        f"closed: nothing is trained on cohort '{name}' any more; what was spent stays spent, and its images stay here"
    )


def preview(
    study: Annotated[Path, typer.Argument(help="The signed study.")],
    cohort: Annotated[str, typer.Option(help="The cohort to look at with the study's eyes.")],
    state: State,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the pictures.")],
    most: Annotated[int, typer.Option(help="Images to look at, spread over the cohort.", min=1, max=5000)] = 40,
    as_json: AsJson = False,
) -> None:
    """Draw what a study's network would see of a cohort: images and masks after its transforms. Nothing is sent.

    Example: collegium-silo preview study.yaml --cohort chest -o seen --state /var/lib/collegium
    """
    from silo_node.cohorts import preview_page
    from silo_node.cohorts.ingestion import open_cohort
    from silo_node.cohorts.preview import look
    from silo_node.learning import tasks

    private_folder.check(output)
    directory = StateDirectory(state)
    signed = studies.load_signed(study, directory.identity().study_key)
    opened = open_cohort(directory, cohort)
    tasks.check_cohort(signed, opened)
    with Console(stderr=True).status("reading"):
        made = look(signed, opened, most)
        if made.seen:
            private_folder.write(output, preview_page.draw(signed, cohort, made))
    low, high = made.values if made.seen else (None, None)
    unfit = [f"image {number}: {code}" for number, code in made.unfit]
    if made.seen:
        console.emit(
            {
                "study": signed.name,
                "cohort": cohort,
                "shape": list(made.shape[1:]),
                "smallest_value": low,
                "largest_value": high,
                "images": made.used,
                "looked_at": len(made.seen) + len(unfit),
                "do_not_fit": list(unfit),
                "page": str(output / preview_page.PAGE),
            },
            as_json=as_json,
        )
    if unfit:
        shown = "; ".join(unfit[:5]) + (f"; and {len(unfit) - 5} more" if len(unfit) > 5 else "")
        raise DataError(
            f"{len(unfit)} of {len(made.seen) + len(unfit)} images do not fit the study ({shown}); 'cohort show' has "
            "them by these numbers: leave them out of the label table and ingest again, or ask for other transforms",
            code="preview.unfit",
        )


def _figures(cohort: "Cohort", found: "Survey") -> dict[str, Json]:
    """The counts for a program of this hospital."""
    from imaging.cohorts import portrait, survey

    labels: dict[str, Json] = {
        name: {split: found.labels[split, name] for split in found.patients} for name in survey.classes(cohort)
    }
    return {
        "cohort": cohort.name,
        "kind": cohort.kind,
        "stays_here": portrait.LOCAL,
        "patients": dict(found.patients),
        "images": {split: found.images[split] for split in found.patients},
        "labels": labels,
        "shapes": [{"shape": list(key), "images": count} for key, count in found.shapes.most_common()],
        "spacings": [
            {"millimetres": None if key is None else list(key), "images": count}
            for key, count in found.spacings.most_common()
        ],
        "modalities": dict(sorted(found.modalities.items())),
        "warnings": dict(sorted(found.warnings.items())),
        "quarantined": dict(cohort.quarantined),
        "duplicates": portrait.duplicates(cohort),
    }


def _describe(cohort: "Cohort", found: "Survey") -> str:
    """The counts for a person of this hospital."""
    from imaging.cohorts import portrait, survey

    def listed(counts: Mapping[str, int]) -> str:
        items = list(counts.items())
        rest = f", and {len(items) - _LISTED} others" if len(items) > _LISTED else ""
        return ", ".join(f"{count} {key}" for key, count in items[:_LISTED]) + rest or "none"

    names = survey.classes(cohort)
    rows = [["", "patients", "images", *names]]
    for split, patients in found.patients.items():
        counts = [patients, found.images[split], *(found.labels[split, name] for name in names)]
        rows.append([split, *map(str, counts)])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    shapes = {" x ".join(map(str, key)): count for key, count in found.shapes.most_common()}
    spacings = {f"({portrait.spaced(key)})": count for key, count in found.spacings.most_common()}
    return "\n".join(
        [
            f"Cohort '{cohort.name}', {cohort.kind.replace('_', ' ')}",
            portrait.LOCAL,
            "",
            *table,
            "",
            f"shapes       {listed({f'({key})': count for key, count in shapes.items()})}",
            f"millimetres  {listed(spacings)}",
            f"modalities   {listed(found.modalities)}",
            f"to look at   {listed(dict(sorted(found.warnings.items())))}",
            f"not used     {listed(dict(cohort.quarantined))}; duplicates among them: {portrait.duplicates(cohort)}",
        ]
    )
