"""`collegium-silo pacs echo` and `collegium-silo pull`: ask the hospital's archive, fetch from it into a folder.

What is fetched names patients and stays as it came until it is ingested. Nothing here needs a state directory or
writes to the ledger: the images are the hospital's own, in the hospital's own house.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privacy import configuration, console, durable
from privacy.console import AsJson

if TYPE_CHECKING:
    from imaging.sources.archive import Archive

app = typer.Typer(no_args_is_help=True, help="The hospital's image archive (PACS).")

Pacs = Annotated[Path, typer.Option("--pacs", help="File that names the archive, see the sample pacs.yaml.")]
EVERY_SECONDS = 5.0
"""How often progress is printed."""
_MEGABYTE = 2**20


@app.command()
def echo(pacs: Pacs, as_json: AsJson = False) -> None:
    """Check that the archive answers and accepts us; nothing is fetched.

    Example: collegium-silo pacs echo --pacs pacs.yaml
    """
    began = time.monotonic()
    way = ask(pacs)
    console.emit({"archive": "answers", "way": way, "seconds": round(time.monotonic() - began, 3)}, as_json=as_json)


def ask(pacs: Path) -> str:
    """Ask the archive that a file names whether it accepts us; gives how it speaks. Raises what refuses."""
    from silo_node.imaging_errors import imaging_errors

    with imaging_errors():
        archive, way = _archive(pacs, _MEGABYTE)
        archive.echo()
    return way


def pull(
    pacs: Pacs,
    query: Annotated[Path, typer.Option("--query", help="File that says what is wanted, see the sample query.yaml.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the images; the same one to go on.")],
    as_json: AsJson = False,
) -> None:
    """Fetch the images that a query means from the archive into a folder; a stopped pull goes on.

    Example: collegium-silo pull --pacs pacs.yaml --query query.yaml -o incoming
    """
    from imaging.sources.pulling import Pull
    from imaging.sources.query import Query
    from imaging.sources.staging import IMAGES
    from silo_node.imaging_errors import imaging_errors

    wanted = configuration.load(query, Query)
    durable.make_folder(output)
    with durable.lock(output), imaging_errors():
        archive, _ = _archive(pacs, wanted.limits.instance_megabytes * _MEGABYTE)
        summary = Pull(archive, wanted, output, _Progress().say).run()
    console.emit(
        {
            "studies": summary.studies,
            "series": summary.series,
            "images": summary.images,
            "fetched_now": summary.fetched,
            "left_out_by_sop_class": summary.left_out,
            "folder": str(output / IMAGES),
        },
        as_json=as_json,
    )


def _archive(path: Path, instance_bytes: int) -> "tuple[Archive, str]":
    """The client of the archive that a file names, and how it speaks."""
    from imaging.sources.archive import ArchiveFile

    named = configuration.load(path, ArchiveFile)
    if named.dicomweb is not None:
        from imaging.sources.dicomweb import DicomWebArchive

        return DicomWebArchive(named.dicomweb, path.parent, instance_bytes), "DICOMweb"
    if named.dimse is None:
        raise RuntimeError("the model lets no file through that names no archive")
    from imaging.sources.dimse import DimseArchive

    return DimseArchive(named.dimse, path.parent), f"DIMSE, C-{named.dimse.retrieve.upper()}"


class _Progress:
    """Prints how far a pull is, to standard error, from time to time."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def say(self, done: int, series: int, fetched: int) -> None:
        """Print a line when it is time."""
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self._last = time.monotonic()
            print(f"{done} of {series} series, {fetched} images fetched", file=sys.stderr)
