"""Renders and lints the chart with Helm itself: `python render.py CHART`, values as JSON on standard input.

In a process of its own: Helm comes as a shared library with Go's runtime in it.
"""

import json
import sys

import helm_python

if __name__ == "__main__":
    values = json.load(sys.stdin)
    try:
        with helm_python.Chart.load(sys.argv[1]) as chart:
            made = {"files": chart.render(values, name="chest", namespace="collegium")}
        made["lint"] = helm_python.lint(sys.argv[1], values, strict=True)
    except helm_python.HelmError as error:
        made = {"error": str(error)}
    print(json.dumps(made))
