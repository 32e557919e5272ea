"""A folder of DICOM files into a folder of de-identified ones, for use on site.

Every file is written or put on the quarantine list with a code; a bad file stops nothing. Originals are
read and never written. The output is made in a folder beside its destination and renamed when whole, so
that what is there is complete. Its names are pseudonymous UIDs; the one list with the hospital's own paths
(`quarantine-paths.csv`) is for the owner's eyes.
"""

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydicom.uid import UID

from imaging.deidentification import faces, marks
from imaging.deidentification.pixels import policy, stored, text_search
from imaging.deidentification.profile import Option, Profile
from imaging.deidentification.pseudonyms import Naming, PseudonymTable
from imaging.deidentification.rejection import NOT_A_FILE, Quarantine, Quarantined
from imaging.deidentification.table import rules
from imaging.deidentification.walk import Actions, clean_dataset, edition
from imaging.deidentification.words import PatientWords
from imaging.errors import ImagingError
from imaging.volumes.headers import foreign_errors, load, parse, text
from imaging.volumes.rejection import ImageRejected, Rejection

FILES, SUMMARY, QUARANTINE_PATHS = "dicom", "summary.json", "quarantine-paths.csv"


@dataclass(frozen=True)
class Summary:
    """What became of a folder: counts, never values.

    Attributes:
        files: written.
        patients: among them.
        actions: what was done with elements and pixels -> how often.
        quarantined: code -> files that were not written.
        visual_features_not_cleaned: files that may show a face and say so.
        profile: de-identification profile.
        table_edition: edition of its table.
        options: chosen.
    """

    files: int
    patients: int
    actions: Mapping[str, int]
    quarantined: Mapping[str, int]
    visual_features_not_cleaned: int
    profile: str
    table_edition: str
    options: tuple[str, ...]


def deidentify(
    source: Path,
    destination: Path,
    profile: Profile,
    pseudonyms: Naming,
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """De-identify a folder or one file.

    Args:
        source: searched for files; links are not followed.
        destination: must not exist; its parent must.
        profile: what stays.
        pseudonyms: of the site or project.
        on_progress: called with (files done, files in all), from time to time.

    Raises:
        ImagingError: `deidentify.exists`, `deidentify.source`, `deidentify.storage`, `profile.invalid`,
            `pixels.no_tesseract`, `pseudonyms.table`. Nothing is kept then.
    """
    if destination.exists() or destination.is_symlink():
        raise ImagingError("the output exists already; choose another name", "deidentify.exists")
    if not source.exists() or destination.resolve().is_relative_to(source.resolve()):
        raise ImagingError("the source does not exist, or the output would lie inside it", "deidentify.source")
    if profile.pixels.text_search != "off":
        text_search.program()
    rules(profile)
    partial = destination.with_name(f".{destination.name}.partial")
    run = _Run(source, partial, profile, pseudonyms, policy.sop_classes(profile))
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
        partial.mkdir(mode=0o700)
        (partial / FILES).mkdir(mode=0o700)
        run.walk(on_progress)
        summary = run.finish()
        partial.rename(destination)
    except OSError as error:
        raise ImagingError(
            f"the disk refused to store the files ({error.strerror}); nothing was kept, make room and try again",
            "deidentify.storage",
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


@dataclass
class _Run:
    """One run as it goes."""

    source: Path
    folder: Path
    profile: Profile
    pseudonyms: Naming
    allowed: frozenset[UID]
    actions: Actions = field(default_factory=Counter)
    instances: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    quarantine: list[tuple[str, str, str]] = field(default_factory=list)
    with_faces: int = 0

    def walk(self, on_progress: Callable[[int, int], None] | None) -> None:
        """Take every file, in the order of their paths."""
        found = [Path(folder) / file for folder, _, names in os.walk(self.source) for file in names]
        paths = sorted(found) if self.source.is_dir() else [self.source]
        for done, path in enumerate(paths, start=1):
            relative = os.path.relpath(path, self.source) if self.source.is_dir() else path.name
            code = self._take(path) if path.is_file() and not path.is_symlink() else NOT_A_FILE
            if code:
                self.quarantine.append((self.pseudonyms.file(relative), code, relative))
            if on_progress is not None and (done % 50 == 0 or done == len(paths)):
                on_progress(done, len(paths))

    def finish(self) -> Summary:
        """Write the lists."""
        if isinstance(self.pseudonyms, PseudonymTable):
            self.pseudonyms.keep()
        summary = Summary(
            files=len(self.instances),
            patients=len(self.patients),
            actions=dict(sorted((+self.actions).items())),
            quarantined=dict(sorted(Counter(code for _, code, _ in self.quarantine).items())),
            visual_features_not_cleaned=self.with_faces,
            profile=marks.METHOD,
            table_edition=edition(),
            options=tuple(sorted(self.profile.options)),
        )
        listed = [{"file": file, "code": code} for file, code, _ in self.quarantine]
        data = json.dumps(asdict(summary) | {"quarantine": listed}, indent=1, sort_keys=True)
        _write(self.folder / SUMMARY, data.encode() + b"\n")
        table = io.StringIO(newline="")
        csv.writer(table).writerows([("file", "code", "path"), *self.quarantine])
        _write(self.folder / QUARANTINE_PATHS, table.getvalue().encode("utf-8", "surrogateescape"))
        return summary

    def _take(self, path: Path) -> str | None:
        """Write one file clean; or the code of why not."""
        try:
            with foreign_errors():
                self._clean(path)
        except (ImageRejected, Quarantined) as error:
            return error.code
        return None

    def _clean(self, path: Path) -> None:
        dataset = parse(load(path), pixels=True)
        verdict = policy.judge(dataset, self.profile, self.allowed)
        patient = text(dataset, "PatientID")
        for value, missing in (
            (patient, Rejection.NO_PATIENT),
            (text(dataset, "SOPInstanceUID"), Rejection.NO_INSTANCE),
        ):
            if not value:
                raise ImageRejected(missing)
        cleaned, actions = clean_dataset(dataset, self.profile, self.pseudonyms)
        instance = str(cleaned.SOPInstanceUID)
        if instance in self.instances:
            raise Quarantined(Quarantine.DUPLICATE)
        face = verdict.search and faces.may_show(dataset)
        if face and self.profile.pixels.faces == "quarantine":
            raise Quarantined(Quarantine.FACE)
        words = PatientWords(dataset, institution=not self.profile.has(Option.RETAIN_INSTITUTION))
        actions += stored.copy(dataset, cleaned, verdict, self.profile, words)
        if face:
            marks.mark_face(cleaned, masked=False)
        buffer = io.BytesIO()
        cleaned.save_as(buffer, enforce_file_format=True)
        if isinstance(self.pseudonyms, PseudonymTable):
            self.pseudonyms.keep()
        # A UID may come from the file when UIDs are retained: it must not name a path.
        name = instance if set(instance) <= set("0123456789.") and not instance.startswith(".") else None
        if name is None:
            raise ImageRejected(Rejection.MALFORMED)
        _write(self.folder / FILES / f"{name}.dcm", buffer.getvalue())
        self.instances.add(instance)
        self.patients.add(str(cleaned.PatientID))
        self.actions += actions
        self.with_faces += face


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
