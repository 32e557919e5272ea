"""Prints docs/reference/networks.md from the allow-list and the measured rows; `make reference` writes the file.

The rows are measured by `python -m benchmarks.networks --json` and stand in `networks_measured.json`: what a
machine's speed decides is not measured again with every change of the documentation.
"""

import json
from pathlib import Path

from benchmarks.networks import Row, table
from imaging.networks import building
from imaging.parameters import Choice, Flag, Integer, Integers, Kind, Number

MEASURED = Path(__file__).with_name("networks_measured.json")


def bounds(kind: Kind) -> str:
    """What a parameter may be."""
    if isinstance(kind, Choice):
        return " or ".join(f"`{word}`" for word in kind.words)
    if isinstance(kind, Flag):
        return "true or false"
    if isinstance(kind, Integer):
        return f"{'odd ' if kind.odd else ''}integer {kind.low} to {kind.high}"
    if isinstance(kind, Number):
        return f"number {kind.low:g} to {kind.high:g}"
    if isinstance(kind, Integers):
        length = str(kind.shortest) if kind.shortest == kind.longest else f"{kind.shortest} to {kind.longest}"
        return f"{length} integers {kind.low} to {kind.high}"
    raise TypeError(type(kind).__name__)


def page() -> str:
    """The whole page."""
    rows = [Row(**row) for row in json.loads(MEASURED.read_text())["rows"]]
    parts = [
        "# Networks\n",
        "Made by `make reference` from the allow-list and from what `python -m benchmarks.networks --json`",
        "measured. Every network takes images (2D) and volumes (3D). BatchNorm is replaced by GroupNorm, nothing",
        "works in place, there is no dropout; layers that MONAI never calls are frozen. All of them train with",
        "differential privacy: a gradient is made for each patient alone, several at once in a `vmap` (together)",
        "or one after the other (alone), as the size of the images decides. A test runs the preflight's four",
        "checks on every row.\n",
        "## Measured\n",
        "Small networks, one thread, seconds of one patient's gradient.\n",
        table(rows),
        "\n## Parameters\n",
        "| network | parameter | may be | default |",
        "| --- | --- | --- | --- |",
    ]
    for name, allowed in building.ALLOWED.items():
        for parameter, kind in allowed.parameters.items():
            default = "required" if kind.default is None else f"`{json.dumps(kind.default)}`"
            parts.append(f"| `{name}` | `{parameter}` | {bounds(kind)} | {default} |")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page())
