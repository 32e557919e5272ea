"""`collegium-silo deidentify` and `review`: DICOM for use on site, under the silo's own pseudonyms.

Imports the DICOM reader late. Nothing here is sent, and the ledger does not know of it: a folder is no cohort.
"""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from privacy import console, durable
from privacy.console import AsJson
from privacy.errors import ConfigError
from silo_node.imaging_errors import imaging_errors
from silo_node.state import StateDirectory

if TYPE_CHECKING:
    from imaging.deidentification import Naming, Profile


def deidentify(
    path: Annotated[Path, typer.Argument(help="Folder of DICOM files, or one file. It is not changed.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the de-identified files.")],
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo: its key names the patients.")],
    profile: Annotated[Path | None, typer.Option(help="YAML file with options; without one the Basic Profile.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write de-identified DICOM files for use on site; what cannot be cleaned is listed and stops nothing.

    Example: collegium-silo deidentify /data/ct -o /data/ct-clean --profile deidentify.yaml --state /var/lib/collegium
    """
    from imaging.deidentification import BASIC
    from imaging.deidentification import folder as folders
    from imaging.deidentification import profile as profiles

    directory = StateDirectory(state)
    with durable.lock(state), imaging_errors():
        chosen = profiles.read(profile) if profile else BASIC
        with _naming(directory, chosen) as names:
            summary = folders.deidentify(path, output, chosen, names, _show_progress)
    console.emit(
        asdict(summary)
        if as_json
        else {
            "files": summary.files,
            "patients": summary.patients,
            "actions": [f"{count} {action}" for action, count in summary.actions.items()],
            "quarantined": [f"{count} {code}" for code, count in summary.quarantined.items()],
            "visual_features_not_cleaned": summary.visual_features_not_cleaned,
            "profile": f"{summary.profile}, {summary.table_edition}",
            "options": list(summary.options),
        },
        as_json=as_json,
    )


def review(
    folder: Annotated[Path, typer.Argument(help="A folder that 'deidentify' made.")],
    by: Annotated[str | None, typer.Option(help="Who decides; without it the sheets are made.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="The decision: no image shows who the patient is.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="The decision: some image does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make contact sheets of de-identified files, or write down what a person decided on them.

    Example: collegium-silo review /data/ct-clean --accept --by "Ada Roe"
    """
    from imaging.deidentification.pixels import review as reviews

    if by is None and not (accept or reject):
        with imaging_errors():
            page = reviews.make_sheets(folder)
        console.emit({"page": f"{reviews.SHEETS}/{page.name}"}, as_json=as_json)
        return
    if by is None or accept == reject:
        raise ConfigError("a decision takes --by and one of --accept and --reject")
    decision: Literal["accepted", "rejected"] = "accepted" if accept else "rejected"
    with imaging_errors():
        made = reviews.decide(folder, by, decision)
    console.emit(asdict(made), as_json=as_json)


@contextmanager
def _naming(directory: StateDirectory, profile: "Profile") -> "Iterator[Naming]":
    from imaging.deidentification import Pseudonyms, PseudonymTable

    if profile.pseudonyms == "table":
        with closing(PseudonymTable(directory.pseudonym_table(profile.project))) as table:
            yield table
        return
    keyed = Pseudonyms(directory.pseudonym_key())
    yield keyed.for_project(profile.project) if profile.project else keyed


def _show_progress(done: int, files: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {files} files", end="\n" if done == files else "", file=sys.stderr, flush=True)
