"""A look at the headers of files: what can become a volume or image, and what is rejected before its pixels are read.

Every file ends in a stack or is rejected by name, and a bad file stops nothing. Files are hashed here and again
when they are decoded (`reading`), so that what was checked is what is used. Only
headers stay in memory, some 50 kB a file: scan a series or a patient at a time, as a catalogue names them.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom import Dataset, uid

from imaging.volumes import codecs, geometry, grouping, planes, radiograph, streams
from imaging.volumes.geometry import Placement
from imaging.volumes.grouping import Placed, Stack
from imaging.volumes.headers import foreign_errors, load, parse, text
from imaging.volumes.planes import Plane
from imaging.volumes.radiograph import Colour
from imaging.volumes.rejection import MAX_VOXELS, ImageRejected, Rejected, Rejection

_CAPTURES = frozenset(
    {
        uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)


@dataclass(frozen=True)
class SourceFile:
    """A file that was scanned.

    Attributes:
        path: where it lies.
        digest: SHA-256 of its bytes.
        dataset: its header without pixels; not to be changed.
    """

    path: Path = field(repr=False)
    digest: bytes = field(repr=False)
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True)
class SourceStack:
    """What will be one volume or image. Identifies the patient.

    Attributes:
        files: each once; of a single image just one.
        placement: how its planes make a volume; None for a projection or ultrasound image.
        members: its planes with indices into `files`; empty for a projection or ultrasound image.
        part: which part of a four-dimensional series, attribute -> value; sorted.
    """

    files: tuple[SourceFile, ...] = field(repr=False)
    placement: Placement | None = field(repr=False)
    members: tuple[Placed, ...] = field(repr=False)
    part: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the files in the volume's order and over the part, hex: its content's name."""
        order = self.placement.order if self.placement else ()
        content = [self.files[self.members[index].file].digest for index in order] or [self.files[0].digest]
        frames = [str(self.members[index].plane.frame).encode() for index in order]
        return hashlib.sha256(b"\0".join([*content, *frames, repr(self.part).encode()])).hexdigest()


@dataclass(frozen=True)
class Scan:
    """A set of files after a look at their headers.

    Attributes:
        stacks: what can be decoded, in the order of first files.
        rejected: files that are in none, in the order of the files.
    """

    stacks: tuple[SourceStack, ...] = field(repr=False)
    rejected: tuple[Rejected, ...]


def scan(paths: Sequence[Path], colour: Colour = "reject") -> Scan:
    """Read headers, drop what is no image of a volume, and group the rest into stacks that can be decoded."""
    scanner = _Scanner(colour)
    for path in paths:
        scanner.take(path)
    return scanner.finish(paths)


class _Scanner:
    """One scan as it goes."""

    def __init__(self, colour: Colour) -> None:
        self._colour: Colour = colour
        self._files: list[SourceFile] = []
        self._planes: list[Placed] = []
        self._images: list[int] = []
        self._rejected: list[Rejected] = []

    def take(self, path: Path) -> None:
        """Read a header; keep it if it may be part of a volume."""
        try:
            data = load(path)
            with foreign_errors():
                dataset = parse(data, pixels=False)
                found = _planes(dataset, self._colour)
                streams.check_file(dataset, len(data))  # or a cut copy would speak against its original
                key = _key(dataset)
        except ImageRejected as error:
            self._rejected.append(Rejected(path, error.rejection))
            return
        index = len(self._files)
        self._files.append(SourceFile(path, hashlib.sha256(data).digest(), dataset))
        self._planes += [Placed(index, plane, key) for plane in found]
        if not found:
            self._images.append(index)

    def finish(self, paths: Sequence[Path]) -> Scan:
        """Group what was kept."""
        out = self._unsound()
        stacks = [SourceStack((self._files[index],), None, (), ()) for index in self._images if index not in out]
        for group in grouping.alike([placed for placed in self._planes if placed.file not in out]):
            try:
                parts, interrupted = grouping.split(group)
            except ImageRejected as error:
                self._reject(group, error.rejection)
                continue
            self._reject(interrupted, Rejection.MISSING_SLICE)
            for part in parts:
                try:
                    stacks.append(self._stack(part))
                except ImageRejected as error:
                    self._reject(part.members, error.rejection)
        order = {path: index for index, path in enumerate(paths)}
        stacks.sort(key=lambda stack: min(order[file.path] for file in stack.files))
        return Scan(tuple(stacks), tuple(sorted(self._rejected, key=lambda one: order[one.path])))

    def _stack(self, part: Stack) -> SourceStack:
        _, _, rows, columns = part.members[0].key
        if len(part.members) * rows * columns > MAX_VOXELS:
            raise ImageRejected(Rejection.TOO_LARGE)
        with foreign_errors():
            placement = geometry.place([placed.plane for placed in part.members], rows, columns)
        used = list(dict.fromkeys(part.members[index].file for index in placement.order))
        members = tuple(replace(placed, file=used.index(placed.file)) for placed in part.members)
        return SourceStack(
            tuple(self._files[index] for index in used), placement, members, tuple(sorted(part.values.items()))
        )

    def _unsound(self) -> set[int]:
        """Reject files that repeat or contradict others: copies, conflicts, and series of several patients."""
        by_instance: dict[str, list[int]] = defaultdict(list)
        by_series: dict[str, list[int]] = defaultdict(list)
        for index, file in enumerate(self._files):
            by_instance[text(file.dataset, "SOPInstanceUID")].append(index)
            by_series[text(file.dataset, "SeriesInstanceUID")].append(index)
        found: dict[int, Rejection] = {}
        for series, members in by_series.items():
            if series and len({text(self._files[index].dataset, "PatientID") for index in members}) > 1:
                found.update(dict.fromkeys(members, Rejection.MIXED_PATIENTS))
        for members in by_instance.values():
            same = len({self._files[index].digest for index in members}) == 1
            for index in members[1:] if same else members:
                found.setdefault(index, Rejection.DUPLICATE if same else Rejection.CONFLICT)
        self._rejected += [Rejected(self._files[index].path, code) for index, code in found.items()]
        return set(found)

    def _reject(self, members: Iterable[Placed], rejection: Rejection) -> None:
        """Reject the files of planes, each once."""
        self._rejected += [
            Rejected(self._files[index].path, rejection) for index in dict.fromkeys(placed.file for placed in members)
        ]


def _key(dataset: Dataset) -> tuple[str, str, int, int]:
    series, frame_of_reference = text(dataset, "SeriesInstanceUID"), text(dataset, "FrameOfReferenceUID")
    return series, frame_of_reference, int(dataset.Rows), int(dataset.Columns)


def _planes(dataset: Dataset, colour: Colour) -> tuple[Plane, ...]:
    """Check a header, and give its planes; none of a projection or ultrasound image."""
    sop_class = text(dataset, "SOPClassUID")
    kinds = text(dataset, "ImageType").split("\\")
    if sop_class in radiograph.SOP_CLASSES:
        capture = sop_class == uid.SecondaryCaptureImageStorage
        if capture and text(dataset, "Modality") not in radiograph.MODALITIES:
            raise ImageRejected(Rejection.SCREEN_SAVE)
        radiograph.check(dataset, colour)
        return ()
    if sop_class in _CAPTURES or any("SCREEN" in kind and "SAVE" in kind for kind in kinds):
        raise ImageRejected(Rejection.SCREEN_SAVE)
    if sop_class not in planes.SOP_CLASSES:
        raise ImageRejected(Rejection.CLASS)
    if "LOCALIZER" in kinds:
        raise ImageRejected(Rejection.LOCALIZER)
    if kinds[:2] == ["DERIVED", "SECONDARY"]:
        raise ImageRejected(Rejection.DERIVED)
    if not text(dataset, "PatientID"):
        raise ImageRejected(Rejection.NO_PATIENT)
    if not (text(dataset, "SOPInstanceUID") and text(dataset, "SeriesInstanceUID")):
        raise ImageRejected(Rejection.NO_INSTANCE)
    if text(dataset, "BurnedInAnnotation") == "YES":
        raise ImageRejected(Rejection.BURNED_IN)
    if dataset.SamplesPerPixel != 1 or not text(dataset, "PhotometricInterpretation").startswith("MONOCHROME"):
        raise ImageRejected(Rejection.COLOUR)
    codecs.check_size(dataset)
    if not text(dataset, "FrameOfReferenceUID"):
        raise ImageRejected(Rejection.NO_GEOMETRY)
    return planes.of(dataset)
