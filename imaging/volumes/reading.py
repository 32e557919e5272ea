"""From scanned files to volumes: `decode` makes one, `read` all at once.

Volumes are decoded one at a time by whoever walks over the stacks of a scan; what a stack's digest finds in a
cache need not be decoded at all.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.volumes import codecs, radiograph, values
from imaging.volumes.cache import VolumeCache
from imaging.volumes.geometry import Placement
from imaging.volumes.headers import foreign_errors, load, parse, text
from imaging.volumes.manifest import Manifest
from imaging.volumes.radiograph import Colour
from imaging.volumes.rejection import ImageRejected, Rejected, Rejection
from imaging.volumes.scanning import SourceFile, SourceStack, scan
from imaging.volumes.volume import PlanePosition, Reading, SourceVolume, Volume


def read(paths: Sequence[Path], colour: Colour = "reject") -> Reading:
    """Read files into volumes, all at once in memory.

    Args:
        paths: DICOM files of any number of series, in any order.
        colour: what becomes of coloured images.
    """
    scanned = scan(paths, colour)
    found, rejected = [], list(scanned.rejected)
    for stack in scanned.stacks:
        try:
            found.append(decode(stack, colour))
        except ImageRejected as error:
            rejected += [Rejected(file.path, error.rejection) for file in stack.files]
    order = {path: index for index, path in enumerate(paths)}
    return Reading(tuple(found), tuple(sorted(rejected, key=lambda one: order[one.path])))


def decode(stack: SourceStack, colour: Colour = "reject", cache: VolumeCache | None = None) -> SourceVolume:
    """Decode the pixels of a stack, or take them from a cache where it was decoded before.

    Raises:
        ImageRejected: a file cannot be decoded (`codecs.decode`), or CHANGED since the scan.
        ImagingError: `cache.storage`.
    """

    def decoded() -> Volume:
        return _image(stack, colour) if stack.placement is None else _volume(stack, stack.placement)

    volume = decoded() if cache is None else cache.volume(stack.digest, {"colour": colour}, decoded)
    with foreign_errors():  # the first look at an attribute decodes it
        return _identified(volume, stack)


def _identified(volume: Volume, stack: SourceStack) -> SourceVolume:
    first = stack.files[0].dataset
    members = [stack.members[index] for index in (stack.placement.order if stack.placement else ())]
    positions = tuple(
        PlanePosition(
            text(stack.files[placed.file].dataset, "SOPInstanceUID"),
            placed.plane.frame + 1,
            (placed.plane.position[0], placed.plane.position[1], placed.plane.position[2]),
        )
        for placed in members
    )
    return SourceVolume(
        volume=volume,
        patient=text(first, "PatientID"),
        study=text(first, "StudyInstanceUID"),
        series=text(first, "SeriesInstanceUID"),
        instances=tuple(text(file.dataset, "SOPInstanceUID") for file in stack.files),
        frame_of_reference=text(first, "FrameOfReferenceUID") or None,
        positions=positions,
        datasets=tuple(file.dataset for file in stack.files),
    )


def _image(stack: SourceStack, colour: Colour) -> Volume:
    """Decode a projection or ultrasound image."""
    file = stack.files[0]
    with foreign_errors():
        image = radiograph.decode(radiograph.checked(_again(file), colour))
        spacing, spacing_source = radiograph.spacing(file.dataset)
        manifest = _manifest(
            stack,
            image.pixels,
            {image.decoder},
            spacing=spacing,
            spacing_source=spacing_source,
            orientation=None,
            photometric=image.photometric,
            rescale=image.rescale,
        )
    return Volume(image.pixels, None, manifest)


def _volume(stack: SourceStack, placement: Placement) -> Volume:
    """Decode the planes of a volume, file by file into one array."""
    header = stack.files[0].dataset
    rescales = [placed.plane.rescale for placed in stack.members]
    bits = max(int(file.dataset.BitsStored) for file in stack.files)
    signed = any(file.dataset.PixelRepresentation == 1 for file in stack.files)
    dtype = values.value_type(rescales, bits, signed=signed)
    # Slices are contiguous while they are written; the axes are turned at the end, without a copy.
    slices = np.empty((len(stack.members), int(header.Rows), int(header.Columns)), dtype)
    wanted: list[dict[int, int]] = [{} for _ in stack.files]
    for at, index in enumerate(placement.order):
        wanted[stack.members[index].file][stack.members[index].plane.frame] = at
    decoders = set()
    for file, frames in zip(stack.files, wanted, strict=True):
        with foreign_errors():
            numbers = sorted(frames)
            decoded, decoder = codecs.decode(_again(file), wanted=numbers)
            decoders.add(decoder)
            for number, stored in zip(numbers, decoded, strict=True):
                at = frames[number]
                slices[at] = stack.members[placement.order[at]].plane.rescale.apply(stored)
    array = slices.transpose(2, 1, 0) if len(slices) > 1 else slices[0]
    if array.min() == array.max():
        raise ImageRejected(Rejection.CONSTANT)
    with foreign_errors():
        manifest = _manifest(
            stack,
            array,
            decoders,
            spacing=placement.spacing,
            spacing_source="patient",
            orientation="".join(nibabel.aff2axcodes(placement.affine))[: array.ndim],
            photometric="as stored",
            rescale=values.describe(rescales),
        )
    return Volume(array, placement.affine, manifest)


def _again(file: SourceFile) -> Dataset:
    """A scanned file with its pixels.

    Raises:
        ImageRejected: CHANGED.
    """
    data = load(file.path)
    if hashlib.sha256(data).digest() != file.digest:
        raise ImageRejected(Rejection.CHANGED)
    return parse(data, pixels=True)


def _manifest(stack: SourceStack, array: NDArray[Any], decoders: set[str], **settled: Any) -> Manifest:
    return Manifest(
        source="dicom",
        modality=_modality(stack.files[0].dataset),
        shape=array.shape,
        dtype=array.dtype.name,
        decoders=tuple(sorted(decoders)),
        syntaxes=tuple(sorted({str(file.dataset.file_meta.TransferSyntaxUID) for file in stack.files})),
        lossy=any(codecs.is_lossy(file.dataset) for file in stack.files),
        part=stack.part,
        files=len(stack.files),
        source_digest=stack.digest,
        unit=_unit(stack.files[0].dataset),
        **settled,
    )


def _unit(dataset: Dataset) -> str | None:
    """HU of a CT that says nothing else (PS3.3 C.8.2.1 requires it where it is something else); what a PET counts."""
    modality = _modality(dataset)
    unit = text(dataset, "RescaleType") or "HU" if modality == "CT" else text(dataset, "Units")
    return unit if modality in ("CT", "PT") and re.fullmatch("[A-Z0-9_]{1,16}", unit) else None


def _modality(dataset: Dataset) -> str | None:
    """The modality if it is a code as the standard's are; free text stays out of manifests."""
    modality = text(dataset, "Modality")
    return modality if re.fullmatch("[A-Z]{2,5}", modality) else None
