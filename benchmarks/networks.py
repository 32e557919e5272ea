"""Every allowed network, small: does it train on single patients, how, and how long does one gradient take?

`python -m benchmarks.networks` prints the table of docs/reference/networks.md; `--json` one JSON object. A row is a
network on images of one size with the parameters of `SMALL`; seconds are those of one patient's gradient, one after the
other ("alone") and in a `vmap` over eight ("together"; four volumes), on one thread.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import torch

from imaging.networks import building
from imaging.parameters import Parameter
from imaging.tasks import kinds
from imaging.tasks.task import Task
from privacy.dp import gradients
from privacy.dp.gradients import PatientGradients
from privacy.dp.training import check_network

SMALL: Final[Mapping[str, tuple[int, Mapping[str, Parameter]]]] = {
    "resnet": (32, {"layers": [1, 1, 1, 1], "widths": [8, 8, 8, 8], "stem_kernel": 3, "max_pool": False}),
    "densenet": (32, {"init_features": 8, "growth_rate": 4, "block_config": [2], "bottleneck": 2, "norm_groups": 4}),
    "classifier": (32, {"widths": [8, 16], "strides": [2, 2], "residual_units": 1}),
    "efficientnet": (32, {"width": 0.1, "depth": 0.1, "image_size": 32}),
    "vit": (32, {"heads": 2, "hidden_per_head": 8, "mlp": 32, "layers": 2}),
    "unet": (16, {"widths": [8, 16], "strides": [2], "residual_units": 1}),
    "basic-unet": (32, {"widths": [4, 4, 8, 8, 8, 4]}),
    "attention-unet": (16, {"widths": [8, 16], "strides": [2], "norm_groups": 4}),
    "segresnet": (16, {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}),
    "dynunet": (16, {"widths": [4, 8, 8], "strides": [1, 2, 2]}),
    "unetr": (32, {"feature_size": 4, "heads": 2, "hidden_per_head": 8, "mlp": 32}),
    "swin-unetr": (64, {"feature_size": 12, "window": 2}),
}
"""Length of every axis, and parameters; what depends on the size is added by `parameters`."""


@dataclass(frozen=True)
class Row:
    """One network on images of one size.

    Attributes:
        values: trained parameters.
        alone: seconds of one gradient, one patient after the other.
        together: seconds of one gradient in a vmap; None where it cannot be mapped.
        way: how the trainer makes the gradients of images of this size.
    """

    network: str
    dimensions: int
    size: int
    values: int
    alone: float
    together: float | None
    way: str


def parameters(name: str, dimensions: int) -> dict[str, Parameter]:
    """The small parameters of a network for images or volumes."""
    side, given = SMALL[name]
    sized: dict[str, Parameter] = {"size": [side] * dimensions, "patch": [side // 2] * dimensions}
    return {**given, **{key: value for key, value in sized.items() if key in building.ALLOWED[name].parameters}}


def task(name: str, dimensions: int) -> Task:
    """Three classes an image, or a voxel."""
    kind = "segmentation" if building.ALLOWED[name].dense else "multi_class_classification"
    return kinds.task(kind, dimensions, ("background", "first", "second"))


def measure(name: str, dimensions: int) -> Row:
    """Build, check and time one network."""
    learned, side = task(name, dimensions), SMALL[name][0]
    network = building.build(name, parameters(name, dimensions), 1, learned.problem)
    shape = (1, *[side] * dimensions)
    building.check(network, shape, learned.problem)
    check_network(network)
    made = PatientGradients(network, learned.loss)
    patients = 8 if dimensions == 2 else 4
    images = torch.randn(patients, *shape, generator=torch.Generator().manual_seed(0))
    targets = torch.stack([learned.examples(shape[1:])[0]] * patients)
    weights = tuple(parameter.detach() for parameter in network.parameters() if parameter.requires_grad)
    alone = _seconds(lambda: made.alone(weights, images[:1], targets[:1]))
    try:
        together = _seconds(lambda: made.together(weights, images, targets)) / patients
    except RuntimeError:
        together = None
    values = sum(parameter.numel() for parameter in weights)
    way = "together" if made.chunk(images) > 1 else "alone"
    return Row(name, dimensions, side, values, alone, together, way)


def table(rows: list[Row]) -> str:
    """The rows in Markdown; what a machine's speed decides stands last."""
    lines = [
        "| network | for | image | MONAI class | trained values | under DP | vmap | seconds alone | seconds together |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        allowed = building.ALLOWED[row.network]
        size = " x ".join([str(row.size)] * row.dimensions)
        fast = "" if row.together is None else f"{row.together:.4f}"
        lines.append(
            f"| `{row.network}` | {'segmentation' if allowed.dense else 'classification, regression'} | {size} | "
            f"{allowed.network} | {row.values:,} | yes, {row.way} | {'no' if row.together is None else 'yes'} | "
            f"{row.alone:.4f} | {fast} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, dimensions) for name in building.ALLOWED for dimensions in (2, 3)]
    if arguments.json:
        print(json.dumps({"chunk_voxels": gradients.CHUNK_VOXELS, "rows": [asdict(row) for row in rows]}))
    else:
        print(table(rows))


def _seconds(work: Callable[[], object]) -> float:
    """The best of three, after one to warm up."""
    work()
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
