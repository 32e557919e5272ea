"""Makes a cohort, enters it in the ledger with the names of all cohorts that it shares patients with, and opens it.

What the ledger does not know is no cohort: an ingest that was stopped is begun anew. A name is used once, for good, so
that an approval of a cohort never comes to mean other patients. Imports the DICOM reader; the commands do so late.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imaging.cohorts import ingest as cohorts
from imaging.cohorts.cohort import Cohort
from imaging.cohorts.dicom_source import EVERY_IMAGE, DicomFolder
from imaging.cohorts.labelling import BINARY, Labelling
from imaging.cohorts.listing_source import Listing
from imaging.deidentification import BASIC, Pseudonyms
from imaging.deidentification import profile as profiles
from imaging.labels.table import SPLITS
from imaging.sources.query import Query
from imaging.volumes.cache import VolumeCache
from privacy import configuration, durable
from privacy.console import user_name
from privacy.errors import CollegiumError, ConfigError, DataError
from privacy.ledger.store import Ledger
from silo_node.cohorts.patients import PatientSets
from silo_node.imaging_errors import imaging_errors
from silo_node.state import StateDirectory


@dataclass(frozen=True)
class Ingested:
    """A cohort as it was made, and the names of earlier ones that it shares patients with."""

    summary: cohorts.IngestSummary
    overlaps: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What is to be made a cohort.

    Attributes:
        name: of the cohort.
        source: folder of DICOM files, or a listing of pictures or NIfTI files.
        labels: the label table.
        labelling: file that says what labels are; None: 0 or 1.
        query: file that says which series are meant; None: every image.
        profile: file that says which pixels may pass; None: the Basic Profile.
        workers: processes that read headers.
    """

    name: str
    source: Path
    labels: Path
    labelling: Path | None = None
    query: Path | None = None
    profile: Path | None = None
    workers: int = 1


def ingest(
    directory: StateDirectory,
    ledger: Ledger,
    request: Request,
    on_progress: Callable[[str, int], None] = lambda phase, done: None,
) -> Ingested:
    """Read a folder into a new cohort.

    Args:
        directory: of the silo, locked by the caller.
        ledger: the silo's.
        request: what is wanted.
        on_progress: told "headers" or "images" and how many are done, from time to time.

    Raises:
        ConfigError: the labelling or query file is not one.
        DataError: the images or labels cannot be used, or the name was used before; nothing is kept.
        StorageError: the disk refused; nothing is kept.
    """
    name, folder = request.name, directory.cohort(request.name)
    labelling = configuration.load(request.labelling, Labelling) if request.labelling else BINARY
    query = configuration.load(request.query, Query) if request.query else EVERY_IMAGE
    with imaging_errors():
        profile = profiles.read(request.profile) if request.profile else BASIC
    if any(e.kind == "cohort" and e.body["cohort"] == name for e in ledger.entries):
        raise DataError(
            f"the ledger has a cohort '{name}', and a name is used once; choose another name, the patients' budget "
            "follows them",
            code="cohort.exists",
        )
    durable.make_folder(folder.parent)
    key = directory.pseudonym_key()
    sets = PatientSets(directory.patients, key)
    _forget(folder, sets, name)
    source: cohorts.Source = Listing(request.source)
    cache = VolumeCache(directory.volumes, directory.cohort_key())
    if not request.source.is_file():
        catalogue = directory.catalogue(request.source)
        source = DicomFolder(request.source, catalogue, query, workers=request.workers, cache=cache)
    elif request.query:
        raise ConfigError("a query is for folders of DICOM files; a listing names its files itself")
    with imaging_errors():
        summary = cohorts.ingest(
            source,
            request.labels,
            folder,
            Pseudonyms(key),
            directory.cohort_key(),
            name,
            labelling=labelling,
            profile=profile,
            on_progress=on_progress,
        )
    try:
        cohort = open_cohort(directory, name)
        pseudonyms = [patient.key for split in SPLITS for patient in cohort.patients(split)]
        overlaps = sets.overlapping(pseudonyms, ledger.entries)
        ledger.append(
            "cohort",
            {
                "cohort": name,
                "digest": summary.digest,
                "patients": summary.patients,
                "images": summary.images,
                "quarantined": dict(summary.quarantined),
                "profile": summary.profile,
                "table_edition": summary.table_edition,
                "overlaps": list(overlaps),
                "patients_commitment": sets.keep(name, summary.digest, pseudonyms),
            },
            {"by": user_name()},
        )
    except CollegiumError:
        _forget(folder, sets, name)
        raise
    cache.prune()
    return Ingested(summary, overlaps)


def open_cohort(directory: StateDirectory, name: str) -> Cohort:
    """A cohort that was made here.

    Raises:
        DataError: there is none of this name, or it is damaged.
    """
    with imaging_errors():
        return Cohort.open(directory.cohort(name), directory.cohort_key())


def _forget(folder: Path, sets: PatientSets, name: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    sets.forget_unrecorded(name)
