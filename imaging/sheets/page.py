"""The parts of a page that needs nothing else: no script, no other file, pictures in it; light, dark and printed.

Everything that goes into it as text is escaped here. What is on a page decides who makes it.
"""

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from imaging.sheets.distribution import Bars
from imaging.sheets.picture import COLOURS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_WIDE, _HIGH, _FOOT = 460, 150, 24


@dataclass(frozen=True)
class Tile:
    """A picture of a contact sheet.

    Attributes:
        title: which image it is.
        lines: what is said of it.
        codes: of warnings.
        png: the picture.
        alt: what it shows, in words.
    """

    title: str
    lines: tuple[str, ...]
    codes: tuple[str, ...]
    png: bytes
    alt: str


def page(title: str, subtitle: str, sections: Iterable[tuple[str, str]]) -> str:
    """A whole page of sections (heading, HTML)."""
    style = (resources.files("imaging.sheets") / "data" / "page.css").read_text("utf-8")
    body = "".join(f"<section><h2>{text(heading)}</h2>{content}</section>" for heading, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head>"
        f"<body><header><h1>{text(title)}</h1><p class=lead>{text(subtitle)}</p></header>"
        f"<main>{body}</main></body></html>\n"
    )


def text(value: object) -> str:
    """Text as it may stand in a page."""
    return html.escape(str(value))


def paragraph(value: str, kind: str = "") -> str:
    """A paragraph; `kind` is a class of the style."""
    return f"<p class={kind}>{text(value)}</p>" if kind else f"<p>{text(value)}</p>"


def figures(values: Mapping[str, object]) -> str:
    """Large numbers with a word each."""
    parts = "".join(f"<div><dd>{text(value)}</dd><dt>{text(name)}</dt></div>" for name, value in values.items())
    return f"<dl class=figures>{parts}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column names the rows; numbers are set to the right."""
    numbers = {at for row in rows for at, cell in enumerate(row) if isinstance(cell, int | float)}
    kinds = ["<th scope=col class=n>" if at in numbers else "<th scope=col>" for at in range(len(heads))]
    head = "".join(f"{kind}{text(name)}</th>" for kind, name in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>"
        + f"<th scope=row>{text(row[0])}</th>"
        + "".join(f"<td class=n>{cell}</td>" if isinstance(cell, int | float) else _cell(cell) for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


@dataclass(frozen=True)
class Share:
    """A cell that is drawn as a bar: a count and of how many."""

    count: int
    whole: int


def _cell(cell: object) -> str:
    if not isinstance(cell, Share):
        return f"<td>{text(cell)}</td>"
    percent = 100 * cell.count / cell.whole if cell.whole else 0.0
    return (
        f"<td class=share><span class=count>{cell.count}</span><span class=bar><span style='width:{percent:.1f}%'>"
        f"</span></span><span class=percent>{percent:.0f} %</span></td>"
    )


def histogram(title: str, bars: Bars, unit: str, note: str = "") -> str:
    """A histogram with its axis."""
    highest = max(bars.heights) or 1.0
    step = _WIDE / len(bars.heights)
    drawn = "".join(
        f'<rect x="{at * step:.2f}" y="{_HIGH * (1 - height / highest):.2f}" width="{max(step - 0.6, 0.6):.2f}" '
        f'height="{_HIGH * height / highest:.2f}"/>'
        for at, height in enumerate(bars.heights)
        if height
    )
    end = bars.start + bars.width * len(bars.heights)
    marks = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_HIGH}" y2="{_HIGH + 5}"/>'
        f'<text x="{x:.1f}" y="{_HIGH + 19}">{_number(tick)}</text>'
        for tick in _ticks(bars.start, end)
        for x in [_WIDE * (tick - bars.start) / (end - bars.start)]
    )
    beyond = [
        f"{share:.1%} {where}" for share, where in ((bars.below, "below"), (bars.above, "above")) if share > 0.0005
    ]
    said = "; ".join(part for part in (unit, note, ", ".join(beyond) + " not drawn" if beyond else "") if part)
    return (
        f'<figure class=chart><h3>{text(title)}</h3><svg viewBox="0 -4 {_WIDE} {_HIGH + _FOOT + 4}" role="img" '
        f'aria-label="{text(title)}"><g class=bars>{drawn}</g>'
        f'<g class=axis><line x1="0" x2="{_WIDE}" y1="{_HIGH}" y2="{_HIGH}"/>{marks}</g></svg>'
        f"<figcaption>{text(said)}</figcaption></figure>"
    )


def charts(parts: Iterable[str]) -> str:
    """Histograms beside each other."""
    return f"<div class=charts>{''.join(parts)}</div>"


def beside(parts: Iterable[str]) -> str:
    """Small tables beside each other."""
    return f"<div class=beside>{''.join(parts)}</div>"


def legend(classes: Sequence[str]) -> str:
    """The colours of the classes' outlines."""
    parts = "".join(
        "<span><i style='background:rgb({},{},{})'></i>{}</span>".format(*COLOURS[at % len(COLOURS)], text(name))
        for at, name in enumerate(classes)
    )
    return f"<p class=legend>{parts}</p>"


def sheet(tiles: Iterable[Tile], wide: bool) -> str:
    """A contact sheet; `wide` where a tile holds three slices."""
    parts = []
    for tile in tiles:
        codes = "".join(f"<code>{text(code)}</code>" for code in tile.codes)
        lines = "".join(f"<span>{text(line)}</span>" for line in tile.lines)
        data = base64.b64encode(tile.png).decode("ascii")
        parts.append(
            f'<figure class=tile><img src="data:image/png;base64,{data}" alt="{text(tile.alt)}">'
            f"<figcaption><b>{text(tile.title)}</b>{lines}{codes}</figcaption></figure>"
        )
    return f"<div class='sheet{' wide' if wide else ''}'>{''.join(parts)}</div>"


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers between two."""
    rough = (high - low) / 5
    step: float = 10.0 ** math.floor(math.log10(rough))
    step *= next(factor for factor in (1, 2, 5, 10) if step * factor >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
