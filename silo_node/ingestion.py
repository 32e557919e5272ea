"""Makes a cohort and enters it in the ledger with the names of all cohorts that it shares patients with.

What the ledger does not know is no cohort: an ingest that was stopped is begun anew. A name is used once, for good, so
that an approval of a cohort never comes to mean other patients. Imports the DICOM reader; the commands do so late.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from imaging import cohort as cohorts
from imaging.labels.table import SPLITS
from privacy import durable
from privacy.console import user_name
from privacy.errors import CollegiumError, DataError
from privacy.ledger.store import Ledger
from silo_node.imaging_errors import imaging_errors
from silo_node.patients import PatientSets
from silo_node.state import StateDirectory


@dataclass(frozen=True)
class Ingested:
    """A cohort as it was made, and the names of earlier ones that it shares patients with."""

    summary: cohorts.IngestSummary
    overlaps: tuple[str, ...]


def ingest(directory: StateDirectory, ledger: Ledger, source: Path, labels: Path, name: str) -> Ingested:
    """Read a DICOM folder into a new cohort.

    Raises:
        DataError: the images or labels cannot be used, or the name was used before; nothing is kept.
        StorageError: the disk refused; nothing is kept.
    """
    folder = directory.cohort(name)
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
    with imaging_errors():
        summary = cohorts.ingest(source, labels, folder, key, name)
    try:
        with imaging_errors():
            cohort = cohorts.Cohort.open(folder)
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
    return Ingested(summary, overlaps)


def _forget(folder: Path, sets: PatientSets, name: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    sets.forget_unrecorded(name)
