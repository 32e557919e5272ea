"""One page that shows a hospital its cohort: contact sheet, warnings, balance of labels, histograms.

Pictures are made while the cohort is counted, one image in memory at a time, and only of as many images as asked for:
those with warnings first, the others spread over the cohort.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from imaging.cohorts import refusals
from imaging.cohorts import survey as surveys
from imaging.cohorts.cohort import Cohort
from imaging.cohorts.labelling import SEGMENTATION
from imaging.cohorts.quality import SENTENCES
from imaging.cohorts.storage import CohortImage
from imaging.cohorts.survey import Place, Survey
from imaging.labels.table import SPLITS
from imaging.sheets import page, picture
from imaging.sheets.page import Share, Tile

LOCAL = (
    "These are exact figures and pictures of this hospital's patients. They were made here, stay here, and nothing of "
    "them is sent."
)
_NAMES = {3: ("i", "j", "k"), 2: ("rows", "columns")}
_ROWS = 6


def draw(
    cohort: Cohort, most: int, on_image: Callable[[int], None] = lambda done: None
) -> tuple[Survey, tuple[int, ...], str]:
    """Count a cohort and draw its page.

    Args:
        cohort: of this hospital.
        most: pictures on the page.
        on_image: told how many images are done.

    Returns:
        the figures, the numbers of the images that are shown, and the page.

    Raises:
        ImagingError: `cohort.damaged`.
    """
    every = list(surveys.places(cohort))
    shown = chosen([(place.number, bool(place.image.warnings)) for place in every], most)
    tiles: list[Tile] = []

    def look(place: Place, image: CohortImage) -> None:
        if place.number in shown:
            tiles.append(_tile(cohort, place, image))
        on_image(place.number)

    found = surveys.survey(cohort, look)
    return found, tuple(sorted(shown)), _page(cohort, found, tiles)


def chosen(images: Sequence[tuple[int, bool]], most: int) -> frozenset[int]:
    """At most so many of the numbered images: those with warnings first, the others spread evenly."""
    warned, sound = ([number for number, has in images if has is kind] for kind in (True, False))
    return frozenset(spread(warned, most) + spread(sound, most - min(most, len(warned))))


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of the numbers, evenly."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[at * len(numbers) // most] for at in range(most)]


def _tile(cohort: Cohort, place: Place, image: CohortImage) -> Tile:
    volume = image.volume
    planes = picture.slices(
        volume.array, image.mask, volume.affine, volume.manifest.spacing, max(1, len(cohort.classes))
    )
    low, high = picture.limits(volume.array)
    shape = " x ".join(map(str, place.image.shape))
    lines = (place.patient[:8], place.split, label(cohort, place, image), shape, volume.manifest.modality or "")
    return Tile(
        title=str(place.number),
        lines=tuple(line for line in lines if line),
        codes=place.image.warnings,
        png=picture.png(picture.draw(planes, low, high)),
        alt=f"image {place.number}",
    )


def label(cohort: Cohort, place: Place, image: CohortImage) -> str:
    """What is learned of an image, in a few words."""
    if cohort.kind == SEGMENTATION:
        drawn = [name for name, voxels in surveys.masked(cohort, image).items() if voxels]
    elif cohort.kind == "regression":
        return f"{place.image.label:g}"
    else:
        drawn = list(surveys.said(cohort, place.image.label))
    prefix = "label " if cohort.kind == "binary_classification" else ""
    return prefix + (", ".join(drawn) or "no class")


def _page(cohort: Cohort, found: Survey, tiles: Sequence[Tile]) -> str:
    total = sum(found.images.values())
    sections = [
        ("At a glance", page.paragraph(LOCAL, "local") + _glance(cohort, found)),
        ("Labels", _labels(cohort, found)),
        ("To look at", _warnings(found)),
        ("Not used", _quarantine(cohort)),
        ("Sizes and values", _measures(found)),
        ("Contact sheet", _sheet(cohort, tiles, total)),
    ]
    subtitle = f"{cohort.kind.replace('_', ' ')}, de-identified by {cohort.profile}; digest {cohort.digest[:16]}"
    return page.page(f"Cohort {cohort.name}", subtitle, sections)


def _glance(cohort: Cohort, found: Survey) -> str:
    unused = sum(cohort.quarantined.values())
    numbers = {
        "patients": sum(found.patients.values()),
        "images": sum(found.images.values()),
        "images with a warning": sum(bool(place.image.warnings) for place in surveys.places(cohort)),
        "files not used": unused,
        "of these, duplicates": duplicates(cohort),
    }
    rows = [(split, found.patients[split], found.images[split]) for split in SPLITS]
    return page.figures(numbers) + page.table(("split", "patients", "images"), rows)


def duplicates(cohort: Cohort) -> int:
    """Files that were not used because they were there twice."""
    return sum(cohort.quarantined.get(code, 0) for code in surveys.DUPLICATES)


def _labels(cohort: Cohort, found: Survey) -> str:
    if cohort.kind == "regression":
        return page.charts([page.histogram("Label", found.targets.bars(), "as the label table says")])
    rows = [
        (name, *(Share(found.labels[split, name], found.images[split]) for split in SPLITS))
        for name in surveys.classes(cohort)
    ]
    what = "images whose mask has the class" if cohort.kind == SEGMENTATION else "images"
    parts = page.table((what, *SPLITS), rows)
    drawn = [
        page.histogram(f"Volume of {name}", volumes.bars(32, 0.0), "millilitres", f"{volumes.added} images")
        for name, volumes in found.volumes.items()
    ]
    return parts + (page.charts(drawn) if drawn else "")


def _warnings(found: Survey) -> str:
    if not found.warnings:
        return page.paragraph("No image has a warning.")
    rows = [(code, count, SENTENCES.get(code, "")) for code, count in sorted(found.warnings.items())]
    return page.table(("code", "images", "what it means"), rows)


def _quarantine(cohort: Cohort) -> str:
    if not cohort.quarantined:
        return page.paragraph("Every file was used.")
    rows = [(code, count, refusals.SENTENCES.get(code, "")) for code, count in sorted(cohort.quarantined.items())]
    return page.table(("code", "files", "why"), rows)


def _measures(found: Survey) -> str:
    drawn = [
        page.histogram(f"Values, {modality}", values.bars(), _unit(modality), "each image counts the same")
        for modality, values in sorted(found.values.items())
    ]
    axes = _NAMES[3 if len(found.sizes) == 3 else 2]
    lengths = [(axis, sizes.bars(32, 0.0), sizes.added) for axis, sizes in sorted(found.sizes.items())]
    drawn += [
        page.histogram(f"Length along {axes[axis]}", bars, "millimetres", f"{images} images")
        for axis, bars, images in lengths
        if len(bars.heights) > 1  # where all are alike the tables say it
    ]
    tables = (
        _counted("modality", found.modalities),
        _counted("voxels along each axis", Counter({" x ".join(map(str, key)): n for key, n in found.shapes.items()})),
        _counted("millimetres between voxels", Counter({spaced(key): n for key, n in found.spacings.items()})),
    )
    return page.charts(drawn) + page.beside(tables)


def spaced(spacing: tuple[float, ...] | None) -> str:
    """A spacing in words."""
    return "unknown" if spacing is None else " x ".join(f"{step:g}" for step in spacing)


def _counted(head: str, counts: "Counter[str]") -> str:
    rows: list[tuple[object, ...]] = list(counts.most_common(_ROWS))
    rest = len(counts) - len(rows)
    if rest > 0:
        rows.append((f"{rest} others", sum(counts.values()) - sum(n for _, n in counts.most_common(_ROWS))))
    return page.table((head, "images"), rows)


def _unit(modality: str) -> str:
    return "Hounsfield units" if modality == "CT" else "as stored"


def _sheet(cohort: Cohort, tiles: Sequence[Tile], total: int) -> str:
    flat = all(len(place.image.shape) == 2 for place in surveys.places(cohort))
    said = "" if len(tiles) == total else f"{len(tiles)} of {total} images are shown: those with warnings first, the "
    parts = page.paragraph(said + "others spread over the cohort; more with --most.", "left") if said else ""
    if not flat:
        parts += page.paragraph(
            "Of a volume: axial, coronal and sagittal, where the mask is largest or else in the middle. The patient's "
            "right is on the left, front and top are up; a volume that does not say how it lies is shown as its array "
            "lies. Each picture has its own black and white.",
            "note",
        )
    if cohort.kind == SEGMENTATION:
        parts += page.legend(cohort.classes)
    return parts + page.sheet(tiles, wide=not flat)
