"""A folder of DICOM files as candidates for a cohort, patient by patient, by way of its index.

Headers are read once (`imaging.sources.catalogue`); what nobody labelled is not read further. Segmentations, structure
sets and structured reports in the folder are matched with the images that they refer to.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from imaging.cohorts.candidate import Candidate, Refused, on_volume
from imaging.cohorts.labelling import SEGMENTATION, Labelling
from imaging.cohorts.reports import Reports
from imaging.deidentification import Naming
from imaging.errors import ImagingError
from imaging.labels import contours, opening, segmentation
from imaging.labels.mask import Mask
from imaging.labels.opening import Reference
from imaging.labels.table import Image
from imaging.sources.catalogue import Catalogue, CataloguedSeries
from imaging.sources.query import Limits, Query
from imaging.volumes.cache import VolumeCache
from imaging.volumes.radiograph import Colour
from imaging.volumes.reading import decode
from imaging.volumes.scanning import SourceStack, scan
from imaging.volumes.volume import SourceVolume

LABEL_KINDS: Final = frozenset({SegmentationStorage, RTStructureSetStorage})
SEVERAL: Final = "mask.several"

EVERY_IMAGE: Final = Query(
    format="collegium-query/1",
    modalities=("CR", "CT", "DX", "MG", "MR", "NM", "OP", "PT", "PX", "RF", "RG", "US", "XA"),
    sop_classes=(
        "ComputedRadiographyImageStorage",
        "CTImageStorage",
        "DigitalMammographyXRayImageStorageForPresentation",
        "DigitalMammographyXRayImageStorageForProcessing",
        "DigitalXRayImageStorageForPresentation",
        "DigitalXRayImageStorageForProcessing",
        "EnhancedCTImageStorage",
        "EnhancedMRImageStorage",
        "EnhancedPETImageStorage",
        "LegacyConvertedEnhancedCTImageStorage",
        "LegacyConvertedEnhancedMRImageStorage",
        "LegacyConvertedEnhancedPETImageStorage",
        "MRImageStorage",
        "NuclearMedicineImageStorage",
        "PositronEmissionTomographyImageStorage",
        "SecondaryCaptureImageStorage",
        "UltrasoundImageStorage",
        "XRayAngiographicImageStorage",
        "XRayRadiofluoroscopicImageStorage",
    ),
    limits=Limits(studies=1_000_000, instances=100_000_000),
)
"""What is taken without a query file: everything that `imaging.volumes` may read."""
_DRAWINGS = EVERY_IMAGE.model_copy(
    update={"modalities": ("SEG", "RTSTRUCT"), "sop_classes": ("SegmentationStorage", "RTStructureSetStorage")}
)
_REPORTS = EVERY_IMAGE.model_copy(
    update={
        "modalities": ("SR",),
        "sop_classes": ("EnhancedSRStorage", "ComprehensiveSRStorage", "Comprehensive3DSRStorage"),
    }
)


@dataclass(frozen=True)
class DicomFolder:
    """A folder of DICOM files.

    Attributes:
        folder: searched whole; links are not followed.
        catalogue: the file of its index, which a second run goes on with.
        query: which of its series are meant.
        colour: what becomes of coloured images.
        workers: processes that read headers.
        cache: of decoded volumes; None: each is decoded anew.
    """

    folder: Path
    catalogue: Path
    query: Query = EVERY_IMAGE
    colour: Colour = "reject"
    workers: int = 1
    cache: VolumeCache | None = field(default=None, repr=False)

    def candidates(
        self, names: Naming, labelling: Labelling, wanted: Callable[[str], bool], on_progress: Callable[[int], None]
    ) -> Generator[Candidate | Refused, None, None]:
        """All candidates and refusals, patient by patient; memory for the headers of one series.

        Args:
            names: the site's pseudonyms.
            labelling: what labels are.
            wanted: whether a patient (pseudonym) is in the label table; of others series are counted, not read.
            on_progress: told the files seen so far, while headers are read.

        Raises:
            ImagingError: the folder or the index cannot be used (`source.*`, `dicomdir.*`, `catalogue.*`, `query.*`).
        """
        with Catalogue(self.catalogue, self.folder, names) as catalogue:
            catalogue.scan(self.workers, on_progress)
            for path, code in catalogue.rejected_paths():
                yield Refused(None, (path,), code)
            drawings = _by_patient(catalogue.select(_DRAWINGS)) if labelling.kind == SEGMENTATION else {}
            asked = labelling.asked
            reports = _by_patient(catalogue.select(_REPORTS)) if asked else {}
            for patient, series in groupby(catalogue.select(self.query), key=lambda found: found.patient):
                if wanted(patient):
                    drawn = _Drawings.of(self.folder, drawings.get(patient, ()), labelling)
                    said = Reports.of(self.folder, reports.get(patient, ()), asked) if asked else None
                    for one in series:
                        yield from self._read(one, drawn, said)
                else:
                    yield from (_unread(one, path) for one in series for path in one.paths)

    def contains(self, path: Path) -> bool:
        """See `ingest.Source`; also so for what is no folder."""
        return not self.folder.is_dir() or path.resolve().is_relative_to(self.folder.resolve())

    def _read(
        self, series: CataloguedSeries, drawn: "_Drawings", said: Reports | None
    ) -> Iterator[Candidate | Refused]:
        image = Image(series.patient, series.study, series.series)
        scanned = scan([self.folder / path for path in series.paths], self.colour)
        for rejected in scanned.rejected:
            yield Refused(image, (self._below(rejected.path),), rejected.rejection.value)
        for stack in scanned.stacks:
            paths = tuple(self._below(file.path) for file in stack.files)
            try:
                draw = drawn.on(stack)
            except ImagingError as error:
                yield Refused(image, paths, error.code)
                continue
            report = said.on(stack) if said else None
            yield Candidate(image, paths, partial(decode, stack, self.colour, self.cache), draw, report)

    def _below(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


def _unread(series: CataloguedSeries, path: str) -> Candidate:
    """An image that no label asks for: it is counted by whom it belongs to."""

    def refuse() -> object:
        raise RuntimeError("an image without a label is not read")

    return Candidate(Image(series.patient, series.study, series.series), (path,), refuse, None)  # type: ignore[arg-type]


def _by_patient(series: Iterable[CataloguedSeries]) -> dict[str, tuple[str, ...]]:
    return {
        patient: tuple(path for one in found for path in one.paths)
        for patient, found in groupby(series, key=lambda one: one.patient)
    }


@dataclass(frozen=True)
class _Drawings:
    """The label files of one patient, and what each refers to."""

    files: tuple[tuple[Path, str, Reference], ...] = field(repr=False)
    labelling: Labelling

    @classmethod
    def of(cls, folder: Path, paths: Iterable[str], labelling: Labelling) -> "_Drawings":
        """Open them; one that cannot be opened refers to nothing, and the image that it was for has no mask."""
        found = []
        for path in paths:
            try:
                dataset = opening.read(folder / path, LABEL_KINDS)
                found.append((folder / path, str(dataset.SOPClassUID), opening.reference(dataset)))
            except ImagingError:
                continue
        return cls(tuple(found), labelling)

    def on(self, stack: SourceStack) -> Callable[[SourceVolume], Mask] | None:
        """What draws on a stack.

        Raises:
            ImagingError: `mask.several`.
        """
        instances = {str(file.dataset.get("SOPInstanceUID", "")) for file in stack.files}
        series = str(stack.files[0].dataset.get("SeriesInstanceUID", ""))
        own = [
            (path, kind)
            for path, kind, reference in self.files
            if (reference.instances & instances if reference.instances else series in reference.series)
        ]
        if len(own) > 1:
            raise ImagingError("an image has several masks; keep the one that the study asks for", SEVERAL)
        if not own:
            return None
        path, kind = own[0]
        reader = segmentation.read if kind == SegmentationStorage else contours.read
        return on_volume(lambda grid: reader(path, self.labelling.rules, grid))
