"""The task of a study, from what the study says of it."""

from collections.abc import Sequence

from imaging.errors import ImagingError
from imaging.tasks.classification import Binary, MultiClass, MultiLabel
from imaging.tasks.regression import Regression
from imaging.tasks.segmentation import LOSSES, Segmentation
from imaging.tasks.task import Task

KINDS = (
    "binary_classification",
    "multi_class_classification",
    "multi_label_classification",
    "regression",
    "segmentation",
)
_LOSSES = {
    "regression": ("mean-squared-error", "huber"),
    "segmentation": tuple(LOSSES),
}
"""What `loss` may name, the first if it is left out; every classification has cross-entropy alone."""


def task(
    kind: str,
    dimensions: int = 2,
    classes: Sequence[str] = (),
    bounds: tuple[float, float] | None = None,
    loss: str | None = None,
) -> Task:
    """The task of a study; imports neither torch nor MONAI.

    Args:
        kind: one of `KINDS`.
        dimensions: 2 or 3.
        classes: their names, the background first for a segmentation; none for `binary_classification`.
        bounds: of a regression.
        loss: by name, where the kind has several.

    Raises:
        ImagingError: `tasks.unknown` kind or loss, or `tasks.classes`: they do not fit the kind.
    """
    if kind not in KINDS:
        raise ImagingError(f"task '{kind}' is not known; choose from {', '.join(KINDS)}", "tasks.unknown")
    names = _LOSSES.get(kind, ("cross-entropy",))
    if loss is not None and loss not in names:
        raise ImagingError(f"loss '{loss}' is not for {kind}; choose from {', '.join(names)}", "tasks.unknown")
    chosen = loss or names[0]
    least = {"multi_class_classification": 2, "multi_label_classification": 1, "segmentation": 2}.get(kind, 0)
    if len(classes) < least or bool(classes) != bool(least) or len(set(classes)) != len(classes):
        wanted = f"at least {least} classes of different names" if least else "no classes"
        raise ImagingError(f"task '{kind}' must have {wanted}; correct the study", "tasks.classes")
    if (bounds is not None) != (kind == "regression") or (bounds is not None and not bounds[0] < bounds[1]):
        raise ImagingError(
            "a regression, and nothing else, needs the range of its label; correct the study", "tasks.range"
        )
    if kind == "multi_class_classification":
        return MultiClass(dimensions, tuple(classes))
    if kind == "multi_label_classification":
        return MultiLabel(dimensions, tuple(classes))
    if kind == "segmentation":
        return Segmentation(dimensions, tuple(classes), chosen)
    if bounds is not None:
        return Regression(dimensions, *bounds, chosen)
    return Binary(dimensions)
