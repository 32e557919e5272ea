"""What the figures of the documentation are drawn with: boxes, arrows, labels, regions, a legend, and the sheet itself.

Colours say who can read something, and mean the same in every figure. What a figure shows is its own module's.
"""

from collections.abc import Iterator, Sequence
from html import escape

INK, SOFT, PAPER = "#1f2933", "#52606d", "#ffffff"
CLEAR, PRIVATE, SEALED, OTHER = "#f7d9c4", "#cfe8d5", "#cbdcf3", "#e7e3da"


def sheet(width: int, height: int, about: str, parts: Sequence[str]) -> str:
    """The whole picture as SVG text; `about` is read to those who cannot see it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="Helvetica, Arial, sans-serif" role="img" aria-label="{escape(about)}">',
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
            *parts,
            "</svg>",
        ]
    )


def legend(entries: Sequence[tuple[str, str]], x: int, y: int, right: int = 0, down: int = 0) -> Iterator[str]:
    """What each colour says, from (x, y) on in steps to the right or down."""
    for fill, text in entries:
        yield f'<rect x="{x}" y="{y}" width="18" height="14" rx="3" fill="{fill}" stroke="{INK}"/>'
        yield label(x + 28, y + 12, text)
        x, y = x + right, y + down


def box(x: int, y: int, lines: tuple[str, ...], fill: str, width: int = 132, height: int = 62) -> str:
    """A rounded box with a title line and smaller lines below it."""
    top = y + height / 2 - 8 * (len(lines) - 1) + 5
    texts = [
        f'<text x="{x + width / 2}" y="{top + 16 * i}" text-anchor="middle" font-size="{13 if i == 0 else 11}" '
        f'font-weight="{600 if i == 0 else 400}" fill="{INK if i == 0 else SOFT}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    ]
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{INK}"/>'
    return frame + "".join(texts)


def arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    """A straight arrow."""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{INK}" stroke-width="1.5" marker-end="url(#tip)"/>'


def bent(*points: tuple[int, int]) -> str:
    """An arrow with corners."""
    way = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{way}" fill="none" stroke="{INK}" stroke-width="1.5" marker-end="url(#tip)"/>'


def label(x: int, y: int, text: str, size: int = 12, weight: int = 400, anchor: str = "start") -> str:
    """Text alone."""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{INK}">{escape(text)}</text>'
    )


def region(x: int, y: int, width: int, height: int, title: str) -> str:
    """A dashed area with its title."""
    frame = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="12" fill="none" stroke="{SOFT}" '
        'stroke-dasharray="5 4"/>'
    )
    return frame + label(x + 14, y + 22, title, 13, 600)
