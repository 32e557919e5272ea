"""The report as one HTML file: no script, no outside request, readable on paper.

Figures are rounded so that nothing is understated: losses up, what is left down. Everything that
comes from evidence is escaped by the template engine; the only markup put in as it is, is the plot.
"""

import hashlib
import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from compliance import plot
from compliance.report import Report

NOT_SHOWN = "not shown"


def html(report: Report) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "loss": loss,
        "room": room,
        "plain": plain,
        "instant": instant,
        "in_hundred": in_hundred,
        "share": share,
        "shown": shown,
    }
    return environment.get_template("report.html").render(
        report=report,
        summary=report.summary,
        plot=Markup(plot.curves(report.silos)),  # noqa: S704 - drawn here, from numbers and escaped names
        digest=hashlib.sha256(report.canonical()).hexdigest(),
    )


def loss(epsilon: float | None) -> str:
    """An epsilon, rounded up to two decimals."""
    if epsilon is None:
        return NOT_SHOWN
    return f"{math.ceil(epsilon * 100 - 1e-9) / 100:.2f}" if math.isfinite(epsilon) else "unlimited"


def room(epsilon: float | None) -> str:
    """What is left of a cap, rounded down to two decimals."""
    return NOT_SHOWN if epsilon is None else f"{math.floor(epsilon * 100 + 1e-9) / 100:.2f}"


def plain(number: float | None) -> str:
    """A number of a study, as it is."""
    return NOT_SHOWN if number is None else f"{number:.12g}"


def shown(value: object) -> object:
    """Text, or that it is not shown."""
    return NOT_SHOWN if value is None or value == "" else value


def instant(time: str | None) -> str:
    """`2026-03-01 12:00 UTC`."""
    return NOT_SHOWN if time is None else f"{time[:10]} {time[11:16]} UTC"


def in_hundred(probability: float | None) -> str:
    """A probability as times in a hundred, rounded up."""
    return NOT_SHOWN if probability is None else str(math.ceil(probability * 100 - 1e-9))


def share(spent: float | None, cap: float | None) -> float:
    """Part of a cap that is spent, in percent from 0 to 100, for a bar."""
    if spent is None or not cap:
        return 0.0
    return round(min(100.0, 100.0 * spent / cap), 2)
