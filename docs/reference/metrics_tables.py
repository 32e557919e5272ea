"""Prints docs/reference/metrics.md from the lists of metrics in the code: `make reference`."""

from aggregator.operations.metrics import METRICS as AGGREGATOR
from silo_node.operations.metrics import METRICS as SILO

HEAD = """# Metrics

`collegium-silo run --watch-at ADDRESS` and `collegium-aggregator serve --watch-at ADDRESS` answer HTTP at `/livez`
(the process lives), `/readyz` (503 and a reason while it is not ready) and `/metrics` (Prometheus text format).
The address is `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH` (mode 0600); any other is refused, and without the option
nothing listens.

At a port, who asks for a name other than `localhost` gets 421: a page in a browser on that machine could else have its
own name resolve to loopback and read the answers. Every IP address will do, and so does no `Host` at all. A proxy that
carries the port on under a name of its own sets `Host: localhost`, or uses `unix:PATH`, where no name is looked at.

The aggregator is not ready while it is stopped, its certificate is out of date, or the disk of its state directory is
full, read-only or gone; before it has recovered its rounds it does not listen at all. A study that halted leaves it
ready: the silos that a person lets go on must reach it.

A silo is not ready before its study has begun, and while the aggregator answers none of its calls for longer than two
seconds: `collegium_unanswered_seconds` is then above 0. A silo that trains calls nobody.

The aggregator's own port has the standard health service `grpc.health.v1.Health` (Check, List, Watch), for silos and
for proxies with a silo's certificate: it is behind mutual TLS, the roster and each silo's share of calls as everything
on that port is. The name `""` is SERVING while `/readyz` says so, and `collegium.v1.Aggregator` while moreover no halt
is told by `collegium-aggregator status`: too few silos are left, or silos refused a sum and wait for a person. What has
no such certificate, a Kubernetes probe for one, asks `/livez` and `/readyz`.

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
