"""The page of `collegium-silo preview`, and its sheets; one grey scale for all, so that images can be compared."""

from typing import Final

import numpy as np

from imaging.cohorts.portrait import LOCAL
from imaging.sheets import page, picture
from imaging.sheets.page import Tile
from privacy.study import Study
from silo_node.cohorts.preview import Preview

PAGE: Final = "index.html"
_PER_SHEET: Final = 24


def draw(study: Study, cohort: str, made: Preview) -> dict[str, bytes]:
    """The page and its sheets, by name; one grey scale for all, so that images can be compared."""
    shown = np.concatenate([plane.values.reshape(-1) for seen in made.seen for plane in seen.planes])
    black, white = picture.limits(shown)
    names = study.task.classes[1:] if study.task.kind == "segmentation" else ()
    tiles, pictures = [], []
    for seen in made.seen:
        drawn = picture.draw(seen.planes, black, white, smooth=False)
        pictures.append((str(seen.place.number), drawn))
        masked = tuple(f"{name} {voxels:,}" for name, voxels in zip(names, seen.classes, strict=False))
        lines = (seen.place.split, f"{seen.low:.3g} to {seen.high:.3g}", *masked)
        tiles.append(Tile(str(seen.place.number), lines, (), picture.png(drawn), f"image {seen.place.number}"))
    sheets = picture.sheets(pictures, per_page=_PER_SHEET)
    return {PAGE: _page(study, cohort, made, tiles, (black, white)).encode()} | {
        f"sheet-{number:04d}.png": picture.png(sheet) for number, sheet in enumerate(sheets, start=1)
    }


def _page(study: Study, cohort: str, made: Preview, tiles: list[Tile], grey: tuple[float, float]) -> str:
    low, high = made.values
    volumes = len(made.shape) == 4
    steps = [
        (str(number), step.name, ", ".join(f"{name} {value}" for name, value in step.parameters.items()))
        for number, step in enumerate(study.transforms, start=1)
    ]
    numbers = {
        "every image, for the network": " x ".join(map(str, made.shape[1:])),
        "smallest value": f"{low:.3g}",
        "largest value": f"{high:.3g}",
        "images looked at": len(made.seen) + len(made.unfit),
        "images that do not fit": len(made.unfit),
    }
    note = (
        f"Black is {grey[0]:.3g} and white {grey[1]:.3g} in every picture, so that they can be compared; under each "
        "its number in the cohort, its split, and its own smallest and largest value."
    )
    if volumes:
        note += " Three slices through each volume, where the mask is largest or else in the middle."
    looked = len(made.seen) + len(made.unfit)
    left = page.paragraph(f"{looked} of the {made.used} images that the study uses were looked at.", "left")
    classes = page.legend(study.task.classes[1:]) if study.task.kind == "segmentation" else ""
    sections = [
        ("For the network", page.paragraph(LOCAL, "local") + page.figures(numbers)),
        ("Transforms", page.table(("", "transform", "parameters"), steps)),
        (
            "Images",
            (left if looked < made.used else "") + page.paragraph(note, "note") + classes + page.sheet(tiles, volumes),
        ),
    ]
    if made.unfit:
        rows = [(str(number), code) for number, code in made.unfit]
        sections.insert(1, ("Do not fit the study", page.table(("image", "code"), rows)))
    subtitle = f"What its network would see of cohort {cohort}, by the study's own transforms. Nothing was trained."
    return page.page(f"Study {study.name}", subtitle, sections)
