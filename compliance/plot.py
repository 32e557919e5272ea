"""The curve of privacy loss over rounds against the cap, as an inline SVG that is the same bytes each time.

Only drawing: the points are those of the record. Text stays text, for search and screen readers; the SVG refers to
nothing outside of itself. Colours are given for paper; the page's style sheet has others for the dark, by class.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

from markupsafe import escape

from privacy.digest import Json

WIDTH, HEIGHT = 860, 350
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 22, 50
_ROW = 20
"""Height of a row of the legend."""
_LETTER = 7.2
"""About the width of a letter, which nobody knows before it is drawn."""
_LINES: Final = ("#0b6e6e", "#b4541a", "#5b4a9c", "#2f7d32", "#8a6d00", "#1f5fa8", "#8c2f6b", "#4a4a4a")
_NAMED = len(_LINES)
"""More curves than this are drawn alike and without names."""
_SAID = 4
"""So many hospitals are named beside one curve."""
_TICKS = 6

Points = tuple[tuple[int, float], ...]
Curve = tuple[Points, float | None]
"""Points of one cohort, (charge, epsilon), and its cap."""


def curves(silos: Json) -> str:
    """The SVG element, or nothing when no cohort has a finite figure.

    Cohorts with equal curves and caps share one line. `silos` is that part of a record.
    """
    groups: dict[Curve, list[str]] = {}
    for label, points, cap in _labelled(silos):
        if points:
            groups.setdefault((points, cap), []).append(label)
    return "".join(_Plot(groups).parts()) if groups else ""


def _labelled(silos: Any) -> Iterator[tuple[str, Points, float | None]]:
    for silo in silos:
        for cohort in silo["cohorts"]:
            label = silo["name"] if len(silo["cohorts"]) == 1 else f"{silo['name']} / {cohort['names'][0]}"
            # An infinite epsilon is a text in a record.
            points = ((point["charge"], point["epsilon"]) for point in cohort["series"])
            yield label, tuple(point for point in points if not isinstance(point[1], str)), cohort["cap"]


class _Plot:
    def __init__(self, groups: dict[Curve, list[str]]) -> None:
        self._groups = groups
        self._few = len(groups) <= _NAMED
        self._legend = list(self._laid_out()) if self._few else []
        self._top = _TOP + _ROW * (1 + self._legend[-1][1] if self._legend else 0)
        self._caps: dict[float, list[str]] = {}
        for (_, cap), names in groups.items():
            if cap is not None:
                self._caps.setdefault(cap, []).extend(names)
        self._last = max(points[-1][0] for points, _ in groups)
        highest = max([*self._caps, *(epsilon for points, _ in groups for _, epsilon in points)])
        self._step = _step(highest)
        self._highest = highest * 1.06 or 1.0

    def parts(self) -> Iterator[str]:
        yield f'<svg role="img" aria-labelledby="plot-caption" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="13">'
        yield from self._axes()
        for number, (points, _) in enumerate(self._groups):
            yield from self._curve(number if self._few else -1, points)
        for cap, names in self._caps.items():
            whose = f" of {_text(names)}" if 1 < len(self._caps) <= _NAMED else ""
            y = self._y(cap)
            yield (
                f'<line class="cap" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#a3262a" '
                'stroke-width="1.5" stroke-dasharray="8 4"/>'
            )
            yield _label(_LEFT + 4, y - 5, f"cap {cap:g}{whose}", "cap", "#a3262a", bold=True)
        for x, row, number, text in self._legend:
            y = 14 + _ROW * row
            yield f'<g {_style(number)}><path d="M{x} {y - 4}h26" fill="none"/>{_marker(number, x + 13, y - 4)}</g>'
            yield _label(x + 32, y, text, "ink", "#1d2733")
        yield "</svg>"

    def _axes(self) -> Iterator[str]:
        for number in range(int(self._highest / self._step + 1e-9) + 1):
            y = self._y(number * self._step)
            yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#d9dde1"/>'
            yield _label(_LEFT - 8, y + 4, f"{number * self._step:.6g}", "ink", "#1d2733", anchor="end")
        bottom = HEIGHT - _BOTTOM
        yield f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#5c6875"/>'
        step = max(1, math.ceil(_step(self._last)))
        for charge in range(0, self._last + 1, step):
            yield _label(self._x(charge), bottom + 18, str(charge), "ink", "#1d2733", anchor="middle")
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        yield _label(middle, HEIGHT - 10, "rounds charged to the cohort", "soft", "#5c6875", anchor="middle")
        height = (self._top + bottom) / 2
        yield (
            f'<text class="soft" fill="#5c6875" text-anchor="middle" transform="translate(11 {height}) rotate(-90)">'
            "privacy loss \N{GREEK SMALL LETTER EPSILON}</text>"
        )

    def _curve(self, number: int, points: Points) -> Iterator[str]:
        places = [(self._x(0), self._y(0)), *((self._x(charge), self._y(epsilon)) for charge, epsilon in points)]
        line = " ".join(f"{x},{y}" for x, y in places)
        markers = "".join(_marker(number, x, y) for x, y in places[1:]) if number >= 0 else ""
        yield f'<g {_style(number)}><polyline points="{line}" fill="none"/>{markers}</g>'

    def _laid_out(self) -> Iterator[tuple[float, int, int, str]]:
        """Place, row, number and text of each name in the legend."""
        x, row = float(_LEFT), 0
        for number, names in enumerate(self._groups.values()):
            text = _text(names)
            width = 50 + _LETTER * len(text)
            if x > _LEFT and x + width > WIDTH:
                x, row = float(_LEFT), row + 1
            yield round(x, 1), row, number, text
            x += width

    def _x(self, charge: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * charge / self._last, 1)

    def _y(self, epsilon: float) -> float:
        bottom = HEIGHT - _BOTTOM
        return round(bottom - (bottom - self._top) * epsilon / self._highest, 1)


def _step(highest: float) -> float:
    """A round distance of at most `_TICKS` lines."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / _TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * _TICKS >= highest * (1 - 1e-9))


def _style(number: int) -> str:
    """How a curve is drawn; -1 is one of many."""
    if number < 0:
        return 'class="many" stroke="#5c6875" stroke-width="0.8"'
    return f'class="s{number}" stroke="{_LINES[number]}" fill="{_LINES[number]}" stroke-width="1.8"'


def _marker(number: int, x: float, y: float) -> str:
    """A form for each curve, so that they can be told apart without colours."""
    forms = (
        "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
        "m-3-3h6v6h-6z",
        "m0-4l4 7h-8z",
        "m0-4.5l4 4.5l-4 4.5l-4-4.5z",
        "m0 4l4-7h-8z",
        "m-4 0h8m-4-4v8",
        "m-3-3l6 6m0-6l-6 6",
        "m-4 0h8",
    )
    return f'<path d="M{x} {y}{forms[number]}"/>'


def _label(x: float, y: float, text: str, name: str, fill: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x}" y="{round(y, 1)}"'
    return f'<text class="{name}" {place} fill="{fill}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _text(names: list[str]) -> str:
    """A few names, and how many more."""
    more = f" and {len(names) - _SAID} more" if len(names) > _SAID else ""
    return ", ".join(names[:_SAID]) + more
