"""`collegium-silo preview`: what a study's network would see of a cohort, before anybody approves it.

The images come from `silo_node.learning.examples` by the study's transforms, as training and evaluation get them; so a
preview cannot differ from them. Nothing is trained, sent or entered in the ledger.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from privacy import console
from privacy import study as studies
from privacy.errors import DataError
from privacy.study import Study
from silo_node.cohorts import private_folder
from silo_node.state import StateDirectory

if TYPE_CHECKING:
    from imaging.cohorts.cohort import Cohort
    from imaging.cohorts.survey import Place
    from imaging.sheets.picture import Slice

PAGE: Final = "index.html"


@dataclass(frozen=True)
class Seen:
    """An image as the network gets it.

    Attributes:
        place: which one.
        planes: what is shown of it.
        low: its smallest value.
        high: its largest value.
        classes: voxels of each class of its mask but the background; () without a mask.
    """

    place: "Place"
    planes: "tuple[Slice, ...]"
    low: float
    high: float
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Preview:
    """What was looked at.

    Attributes:
        shape: (1, *spatial) of every image, for the network.
        used: images of the splits that the study uses.
        seen: those that were looked at and fit.
        unfit: (number, code) of those that do not.
    """

    shape: tuple[int, ...]
    used: int
    seen: tuple[Seen, ...] = field(repr=False)
    unfit: tuple[tuple[int, str], ...]

    @property
    def values(self) -> tuple[float, float]:
        """Smallest and largest value of all that was seen."""
        return min(seen.low for seen in self.seen), max(seen.high for seen in self.seen)


def preview(
    study: Annotated[Path, typer.Argument(help="The signed study.")],
    cohort: Annotated[str, typer.Option(help="The cohort to look at with the study's eyes.")],
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the pictures.")],
    most: Annotated[int, typer.Option(help="Images to look at, spread over the cohort.", min=1, max=5000)] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw what a study's network would see of a cohort: images and masks after its transforms. Nothing is sent.

    Example: collegium-silo preview study.yaml --cohort chest -o seen --state /var/lib/collegium
    """
    from silo_node.cohorts import preview_page
    from silo_node.cohorts.ingestion import open_cohort
    from silo_node.learning import tasks

    private_folder.check(output)
    directory = StateDirectory(state)
    signed = studies.load_signed(study, directory.identity().study_key)
    opened = open_cohort(directory, cohort)
    tasks.check_cohort(signed, opened)
    with Console(stderr=True).status("reading"):
        made = look(signed, opened, most)
        if made.seen:
            private_folder.write(output, preview_page.draw(signed, cohort, made))
    low, high = made.values if made.seen else (None, None)
    unfit = [f"image {number}: {code}" for number, code in made.unfit]
    if made.seen:
        console.emit(
            {
                "study": signed.name,
                "cohort": cohort,
                "shape": list(made.shape[1:]),
                "smallest_value": low,
                "largest_value": high,
                "images": made.used,
                "looked_at": len(made.seen) + len(unfit),
                "do_not_fit": list(unfit),
                "page": PAGE,
            },
            as_json=as_json,
        )
    if unfit:
        shown = "; ".join(unfit[:5]) + (f"; and {len(unfit) - 5} more" if len(unfit) > 5 else "")
        raise DataError(
            f"{len(unfit)} of {len(made.seen) + len(unfit)} images do not fit the study ({shown}); 'cohort show' has "
            "them by these numbers: leave them out of the label table and ingest again, or ask for other transforms",
            code="preview.unfit",
        )


def look(study: Study, cohort: "Cohort", most: int) -> Preview:
    """Put at most so many images of a cohort, spread over it, through a study's transforms.

    Raises:
        DataError: the study's task or transforms, or the cohort as a whole, cannot be used.
    """
    from imaging.cohorts import portrait, survey
    from imaging.cohorts.cohort import CohortPatient
    from silo_node.learning import tasks
    from silo_node.learning.examples import Examples
    from silo_node.learning.transformed import TransformedImages

    disk = TransformedImages(Path(), b"", b"")
    pipeline, task = tasks.transforms(study), tasks.task(study)
    used = [place for place in survey.places(cohort) if place.split in ("train", study.evaluation.split)]
    wanted = set(portrait.spread([place.number for place in used], most))
    seen, unfit = [], []
    for place in used:
        if place.number not in wanted:
            continue
        try:
            # With this room everything is kept in memory, here one image, and nothing of it goes to the disk.
            alone = CohortPatient(place.patient, (place.image,))
            image, target = Examples((alone,), pipeline, task, disk, sys.maxsize).load(0, 0)
        except DataError as error:
            unfit.append((place.number, error.code))
            continue
        seen.append(_seen(study, place, image.numpy(), target.numpy() if task.problem.dense else None))
    return Preview(pipeline.shape, len(used), tuple(seen), tuple(unfit))


def _seen(study: Study, place: "Place", image: NDArray[Any], mask: NDArray[Any] | None) -> Seen:
    from imaging.sheets import picture

    turned = any(step.name == "orient" for step in study.transforms)
    classes = max(1, len(study.task.classes) - 1)
    planes = picture.slices(image[0], mask, np.eye(4) if turned else None, None, classes)
    counts = () if mask is None else tuple(np.bincount(mask.reshape(-1), minlength=classes + 1)[1:].tolist())
    # Copies: a plane must not keep its whole image in memory.
    kept = tuple(picture.Slice(plane.values.copy(), plane.classes.copy(), plane.aspect) for plane in planes)
    return Seen(place, kept, float(image.min()), float(image.max()), counts)
