"""A record as one HTML file: no script, no outside request, readable on paper.

The page is made from the record and the signatures under it and from nothing else, so that it can be made again.
Figures are rounded so that nothing is understated: losses up, what is left down. All that comes from evidence is
escaped by the template engine; the only markup put in as it is, is the plot.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from compliance import plot
from compliance.canonical import digest
from compliance.signing import Signature
from privacy.digest import Json

NOT_SHOWN = "not shown"
UNLIMITED = "unlimited"
Figure = float | str | None
"""A number of a record: infinity is the text "unlimited", what is not shown is null."""


def html(record: Mapping[str, Json], signatures: Sequence[Signature]) -> str:
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
        "over": over,
        "alike": alike,
    }
    return environment.get_template("report.html").render(
        report=record,
        summary=record["summary"],
        signatures=signatures,
        plot=Markup(plot.curves(record["silos"])),  # noqa: S704 - drawn here, from numbers and escaped names
        digest=digest(dict(record)),
    )


def loss(epsilon: Figure) -> str:
    """An epsilon, rounded up to two decimals."""
    if epsilon is None:
        return NOT_SHOWN
    number = _number(epsilon)
    return f"{math.ceil(number * 100 - 1e-9) / 100:.2f}" if math.isfinite(number) else UNLIMITED


def room(epsilon: Figure) -> str:
    """What is left of a cap, rounded down to two decimals."""
    return NOT_SHOWN if epsilon is None else f"{math.floor(_number(epsilon) * 100 + 1e-9) / 100:.2f}"


def plain(number: Figure) -> str:
    """A number of a study, as it is."""
    return NOT_SHOWN if number is None else f"{_number(number):.12g}".replace("e-0", "e-")


def shown(value: object) -> object:
    """Text, or that it is not shown."""
    return NOT_SHOWN if value is None or value == "" else value


def instant(time: str | None) -> str:
    """`2026-03-01 12:00 UTC`."""
    return NOT_SHOWN if time is None else f"{time[:10]} {time[11:16]} UTC"


def in_hundred(probability: Figure) -> str:
    """A probability as times in a hundred, rounded up."""
    return NOT_SHOWN if probability is None else str(math.ceil(_number(probability) * 100 - 1e-9))


def share(spent: Figure, cap: Figure) -> float:
    """Part of a cap that is spent, in percent from 0 to 100, for a bar."""
    if spent is None or not cap:
        return 0.0
    return round(min(100.0, 100.0 * _number(spent) / _number(cap)), 2)


def over(spent: Figure, cap: Figure) -> bool:
    """Whether a figure is above its cap."""
    return spent is not None and cap is not None and _number(spent) > _number(cap)


def alike(software: Sequence[Mapping[str, Any]]) -> list[tuple[list[str], Mapping[str, Any]]]:
    """Parties that ran the same code and libraries, with what the first of them entered."""
    groups: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for one in software:
        what = digest({name: value for name, value in one.items() if name not in ("party", "time")})
        groups.setdefault(what, ([], one))[0].append(str(one["party"]))
    return [(list(dict.fromkeys(parties)), one) for parties, one in groups.values()]


def _number(figure: float | str) -> float:
    return math.inf if figure == UNLIMITED else float(figure)
