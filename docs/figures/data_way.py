"""Draws docs/figures/data-way.svg: what leaves a hospital, in which form, and who can read it.

Prints the SVG; `make reference` writes the file.
"""

from html import escape

WIDTH, HEIGHT = 960, 470
INK, SOFT, PAPER = "#1f2933", "#52606d", "#ffffff"
CLEAR, PRIVATE, SEALED = "#f7d9c4", "#cfe8d5", "#cbdcf3"
LEGEND = (
    (CLEAR, "patient data, never leaves the hospital"),
    (PRIVATE, "differentially private for each patient"),
    (SEALED, "CKKS ciphertext under masks"),
)


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


def draw() -> str:
    """The whole picture as SVG text."""
    parts = [
        region(16, 16, 636, 310, "each hospital: collegium-silo"),
        region(716, 16, 228, 310, "collegium-aggregator"),
        box(46, 52, ("DICOM", "from the archive"), CLEAR),
        box(196, 52, ("cohort", "de-identified,", "pseudonymous"), CLEAR),
        box(340, 52, ("training", "clip each patient,", "add noise"), CLEAR),
        box(492, 52, ("private update", "epsilon charged first"), PRIVATE),
        box(492, 142, ("16-bit integers", "exact to add"), PRIVATE),
        box(492, 232, ("ciphertext", "CKKS, then masked"), SEALED),
        box(764, 142, ("sum", "adds, cannot open"), SEALED),
        box(340, 232, ("opened sum", "verified, then", "unmasked"), PRIVATE),
        box(196, 232, ("global model", "same at every silo"), PRIVATE),
        box(46, 232, ("export", "safetensors, card"), PRIVATE),
        box(46, 142, ("budget, ledger", "signed, append-only"), PAPER),
        arrow(178, 83, 194, 83),
        arrow(328, 83, 338, 83),
        arrow(472, 83, 490, 83),
        arrow(558, 114, 558, 140),
        arrow(558, 204, 558, 230),
        arrow(624, 256, 762, 184),
        bent((830, 204), (830, 310), (406, 310), (406, 296)),
        arrow(340, 263, 330, 263),
        arrow(196, 263, 180, 263),
        bent((178, 173), (406, 173), (406, 116)),
        bent((46, 173), (26, 173), (26, 352)),
        box(16, 354, ("privacy report", "collegium-compliance"), PAPER, width=168),
        box(716, 354, ("certificates, studies", "collegium-consortium, offline"), PAPER, width=228),
        arrow(890, 352, 890, 328),
        label(684, 262, "TLS 1.3", 11, 600, "middle"),
        label(684, 304, "the sum", 11, 400, "middle"),
        label(684, 126, "other", 11, 400, "middle"),
        label(684, 140, "hospitals", 11, 400, "middle"),
        arrow(684, 150, 762, 170),
        label(190, 166, "allows each round, or not", 11),
    ]
    for number, (colour, text) in enumerate(LEGEND):
        y = 366 + 26 * number
        parts.append(f'<rect x="262" y="{y}" width="18" height="14" rx="3" fill="{colour}" stroke="{INK}"/>')
        parts.append(label(290, y + 12, text))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="Helvetica, Arial, sans-serif" role="img" '
            'aria-label="The way of the data from DICOM through private training and encryption to the sum and back">',
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
            *parts,
            "</svg>",
        ]
    )


if __name__ == "__main__":
    print(draw())
