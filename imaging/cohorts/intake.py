"""Takes candidates into a cohort that is being made: labelled, decoded, judged, compared, stored, or put aside by name.

Knows nothing of where candidates come from. Bounded memory: one image at a time, and a digest of every image.
"""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging.cohorts import quality
from imaging.cohorts.candidate import Candidate, Refused
from imaging.cohorts.index import QUARANTINE, QUARANTINE_PATHS, canonical
from imaging.cohorts.labelling import SEGMENTATION, Labelling
from imaging.cohorts.storage import CohortImage, ImageStore, pack
from imaging.deidentification import Naming, Profile, clean
from imaging.errors import ImagingError
from imaging.labels.kinds import Value
from imaging.labels.mask import Mask
from imaging.labels.table import Image, Label, Table
from imaging.volumes.volume import SourceVolume

DUPLICATE_INSTANCE = "duplicate.instance"
DUPLICATE_PIXELS = "duplicate.pixels"
NO_MASK = "mask.missing"


@dataclass
class Intake:
    """One ingest as it goes.

    Args:
        names: the site's pseudonyms.
        labelling: what labels are.
        table: the labels.
        profile: of de-identification: which pixels may pass.
        store: where images go.
    """

    names: Naming
    labelling: Labelling
    table: Table
    profile: Profile
    store: ImageStore
    patients: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: set[Image] = field(default_factory=set)
    warnings: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    _quarantine: list[tuple[str, str, str]] = field(default_factory=list)
    _instances: dict[bytes, Image] = field(default_factory=dict)
    _pixels: set[bytes] = field(default_factory=set)

    def take(self, found: Candidate | Refused) -> None:
        """Take a candidate, or list what was refused.

        Raises:
            OSError: the disk refused.
        """
        if found.image is not None:
            self.seen.add(found.image)
        if isinstance(found, Refused):
            self._put_aside(found.paths, found.code)
            return
        label = self.table.of(found.image)
        if label is None:
            self.unlabelled += 1
            return
        try:
            self._keep(found, label)
        except ImagingError as error:
            self._put_aside(found.paths, error.code)

    @property
    def quarantined(self) -> Mapping[str, int]:
        """Files not used, by code."""
        return dict(sorted(Counter(code for _, code, _ in self._quarantine).items()))

    def write_quarantine(self, folder: Path) -> None:
        """Write the two lists of files that were not used. Raises OSError."""
        entries = [{"file": file, "code": code} for file, code, _ in self._quarantine]
        table = io.StringIO(newline="")
        csv.writer(table).writerows([("file", "code", "path"), *self._quarantine])
        write(folder / QUARANTINE, canonical({"counts": self.quarantined, "files": entries}))
        write(folder / QUARANTINE_PATHS, table.getvalue().encode("utf-8", "surrogateescape"))

    def _keep(self, found: Candidate, label: Label) -> None:
        value = self._value(found, label)
        source = found.decode()
        cleaned = clean(source, self.names, self.profile)
        volume = cleaned.volume
        instances = [hashlib.sha256(instance.encode()).digest() for instance in source.instances]
        if any(self._instances.get(instance, found.image) != found.image for instance in instances):
            raise ImagingError("an instance is in two series", DUPLICATE_INSTANCE)
        # The same pixels under another patient would make one person two units of privacy.
        pixels = hashlib.sha256(repr((volume.array.shape, volume.array.dtype.str)).encode())
        pixels.update(volume.array.tobytes())
        if pixels.digest() in self._pixels:
            raise ImagingError("an image is there twice", DUPLICATE_PIXELS)
        mask = self._mask(found, source)
        drawn = mask.warnings if mask else ()
        warnings = tuple(sorted({*quality.check(volume), *cleaned.warnings, *drawn}))
        stored = self.store.add(pack(CohortImage(volume, mask.array if mask else None)))
        self._pixels.add(pixels.digest())
        self._instances.update(dict.fromkeys(instances, found.image))
        self.warnings.update(warnings)
        self.patients.setdefault(found.image.patient, []).append(
            {
                "file": stored.file,
                "sha256": stored.sha256,
                "label": value,
                "shape": list(volume.array.shape),
                "warnings": list(warnings),
            }
        )

    def _mask(self, found: Candidate, source: SourceVolume) -> Mask | None:
        if self.labelling.kind != SEGMENTATION:
            return None
        if found.draw is None:
            raise ImagingError("an image of a segmentation has no mask", NO_MASK)
        return found.draw(source)

    def _value(self, found: Candidate, label: Label) -> Value:
        if self.labelling.reported is None:
            return label.value
        if found.report is None:
            raise RuntimeError("a source without reports was asked for them")
        return found.report()

    def _put_aside(self, paths: tuple[str, ...], code: str) -> None:
        self._quarantine.extend((self.names.file(path), code, path) for path in paths)


def write(path: Path, data: bytes) -> None:
    """Make a new file, mode 0600. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
