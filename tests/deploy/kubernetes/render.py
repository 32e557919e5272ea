"""Renders and lints the chart with Helm itself: `python render.py CHART`, a JSON list of values on standard input.

In a process of its own, as Helm comes as a shared library with Go's runtime in it.
"""

import json
import sys
from typing import Any

import helm_python


def made(chart: str, values: dict[str, Any]) -> dict[str, Any]:
    """The files by name and what lint says, or the error."""
    try:
        with helm_python.Chart.load(chart) as loaded:
            files = loaded.render(values, name="chest", namespace="collegium")
        return {"files": files, "lint": helm_python.lint(chart, values, strict=True)}
    except helm_python.HelmError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    print(json.dumps([made(sys.argv[1], values) for values in json.load(sys.stdin)]))
