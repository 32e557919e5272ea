"""Prints docs/reference/metrics.md from the lists of metrics in the code: `make reference`."""

from aggregator.operations.metrics import METRICS as AGGREGATOR
from silo_node.operations.metrics import METRICS as SILO

HEAD = """# Metrics

`collegium-silo run --watch-at ADDRESS` and `collegium-aggregator serve --watch-at ADDRESS` answer HTTP at `/livez`
(the process lives), `/readyz` (503 and a reason while it is not ready) and `/metrics` (Prometheus text format).
The address is `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH` (mode 0600); any other is refused, and without the option
nothing listens.
No metric counts patients, images or lots. `deploy/grafana/collegium.json` is a dashboard of these metrics.
This page is printed by `docs/reference/metrics_tables.py`; a test compares it.
"""


def main() -> None:
    """Print the page."""
    print(HEAD)
    print("| metric | type | label | silo | aggregator | what |\n|---|---|---|---|---|---|")
    for metric in dict.fromkeys((*SILO, *AGGREGATOR)):
        label = f"`{metric.label}`" if metric.label else ""
        marks = ("yes" if metric in SILO else "", "yes" if metric in AGGREGATOR else "")
        print(f"| `{metric.name}` | {metric.kind} | {label} | {marks[0]} | {marks[1]} | {metric.what} |")


if __name__ == "__main__":
    main()
