"""A cohort is taken only for the task that it was labelled for."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from imaging.cohorts.cohort import Cohort, CohortPatient, StoredImage
from imaging.cohorts.storage import ImageStore, Stored
from privacy.errors import DataError
from privacy.learning import Task
from privacy.study import Study
from silo_node.learning import tasks
from tests.privacy import studies

STORE = ImageStore(Path("nowhere"), bytes(32))


def study(kind: str, *classes: str, dimensions: int = 2) -> Study:
    said: dict[str, Any] = {"kind": kind, "label": "label", "classes": classes, "dimensions": dimensions}
    return studies.study().model_copy(update={"task": Task(**said)})


def cohort(kind: str, *classes: str, axes: tuple[int, ...] = (2, 2)) -> Cohort:
    images = tuple(StoredImage(0, (8,) * count, (), Stored("", ""), STORE) for count in axes)
    patients = {"train": (CohortPatient("one", images),), "val": (), "test": ()}
    return Cohort("made", "", kind, classes, "basic", "", {}, MappingProxyType(patients))


def test_what_fits_is_taken() -> None:
    tasks.check_cohort(study("binary_classification"), cohort("binary_classification"))
    tasks.check_cohort(study("multi_class_classification", "a", "b"), cohort("multi_class_classification", "a", "b"))
    volumes = study("segmentation", "background", "liver", dimensions=3)
    tasks.check_cohort(volumes, cohort("segmentation", "liver", axes=(3,)))


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (cohort("regression"), "cohort.other_kind"),
        (cohort("multi_class_classification", "liver"), "cohort.other_kind"),
        (cohort("segmentation", "lesion", "liver"), "cohort.other_classes"),
        (cohort("segmentation", "background", "liver", "lesion"), "cohort.other_classes"),
        (cohort("segmentation", "liver"), "cohort.other_classes"),
        (cohort("segmentation", "liver", "lesion", axes=(3, 2, 3)), "cohort.other_dimensions"),
    ],
)
def test_what_was_labelled_for_something_else_is_refused(other: Cohort, code: str) -> None:
    wanted = study("segmentation", "background", "liver", "lesion", dimensions=3)
    tasks.check_cohort(wanted, cohort("segmentation", "liver", "lesion", axes=(3, 3)))
    with pytest.raises(DataError) as caught:
        tasks.check_cohort(wanted, other)
    assert caught.value.code == code
    assert "ingest" in str(caught.value)


def test_a_study_without_classes_takes_no_cohort_with_classes() -> None:
    with pytest.raises(DataError) as caught:
        tasks.check_cohort(study("binary_classification"), replace(cohort("binary_classification"), classes=("a",)))
    assert caught.value.code == "cohort.other_classes"
