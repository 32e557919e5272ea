"""Draws docs/figures/trust-boundaries.svg: who connects to whom, over which trust boundary.

The numbers are those of the port matrix in SECURITY.md. Prints the SVG; `make reference` writes the file.
"""

from drawing import CLEAR, INK, OTHER, PAPER, SEALED, arrow, bent, box, label, legend, region, sheet

WIDTH, HEIGHT = 1000, 560
RED = "#b3261e"
LEGEND = ((CLEAR, "sees patients"), (SEALED, "sees ciphertext alone"), (OTHER, "sees neither"))
ABOUT = "Who connects to whom: archive, silo, proxy, aggregator, people, and the offline authority"


def flow(number: int, x: int, y: int) -> str:
    """The number of a flow, on its arrow."""
    circle = f'<circle cx="{x}" cy="{y}" r="10" fill="{PAPER}" stroke="{INK}"/>'
    return circle + label(x, y + 4, str(number), 11, 600, "middle")


def boundary(points: tuple[tuple[int, int], ...], text: str, x: int, y: int) -> str:
    """A trust boundary, which is crossed by what is written beside it."""
    way = " ".join(f"{a},{b}" for a, b in points)
    line = f'<polyline points="{way}" fill="none" stroke="{RED}" stroke-width="2" stroke-dasharray="9 5"/>'
    return line + label(x, y, text, 11, 600, "middle").replace(INK, RED)


def draw() -> str:
    """The whole picture as SVG text."""
    parts = [
        region(16, 16, 560, 452, "the hospital's network"),
        region(200, 60, 356, 290, "the silo's machine"),
        region(744, 16, 240, 250, "the aggregator's machine"),
        region(744, 300, 240, 168, "offline"),
        box(36, 110, ("archive (PACS)", "DIMSE, DICOMweb"), CLEAR, 128),
        box(36, 214, ("name server", "resolver of the site"), OTHER, 128),
        box(36, 290, ("time server", "for the machine"), OTHER, 128),
        box(36, 384, ("people", "of the hospital"), CLEAR, 128),
        box(222, 110, ("ingest, pull", "de-identifies"), CLEAR, 140),
        box(222, 210, ("state directory", "keys, budget, ledger,", "sealed images"), CLEAR, 140, 78),
        box(400, 110, ("run", "trains, adds noise,", "masks, encrypts"), CLEAR, 136, 78),
        box(400, 228, ("monitoring, logs", "of this machine"), OTHER, 136),
        box(426, 384, ("HTTP proxy", "of the hospital"), OTHER, 128),
        box(784, 70, ("serve", "adds, cannot open"), SEALED, 160),
        box(784, 180, ("state directory", "keys, ledger, rounds"), SEALED, 160),
        box(784, 340, ("consortium's authority", "CA, signed studies"), OTHER, 160),
        boundary(((656, 16), (656, 480)), "internet", 656, 496),
        boundary(((184, 60), (184, 350)), "site", 184, 368),
        arrow(536, 128, 782, 92),
        flow(1, 696, 105),
        bent((536, 170), (566, 170), (566, 415), (556, 415)),
        flow(2, 566, 320),
        bent((554, 400), (612, 400), (612, 116), (782, 116)),
        flow(1, 612, 262),
        flow(3, 612, 288),
        arrow(200, 240, 166, 240),
        flow(4, 186, 240),
        arrow(200, 320, 166, 320),
        flow(5, 186, 320),
        arrow(222, 122, 166, 122),
        flow(6, 198, 122),
        arrow(222, 148, 166, 148),
        flow(7, 198, 148),
        bent((100, 172), (100, 192), (250, 192), (250, 174)),
        flow(8, 150, 192),
        arrow(468, 228, 468, 190),
        flow(9, 486, 208),
        bent((400, 150), (381, 150), (381, 249), (364, 249)),
        arrow(320, 172, 320, 208),
        arrow(864, 132, 864, 178),
        bent((100, 446), (100, 456), (864, 456), (864, 404)),
        flow(10, 696, 456),
    ]
    parts += legend(LEGEND, 30, 516, right=230)
    parts.append(label(864, 528, "red: trust boundary", 12, 600, "middle").replace(INK, RED))
    return sheet(WIDTH, HEIGHT, ABOUT, parts)


if __name__ == "__main__":
    print(draw())
