"""Draws docs/figures/data-way.svg: what leaves a hospital, in which form, and who can read it.

Prints the SVG; `make reference` writes the file.
"""

from drawing import CLEAR, PAPER, PRIVATE, SEALED, arrow, bent, box, label, legend, region, sheet

WIDTH, HEIGHT = 960, 470
LEGEND = (
    (CLEAR, "patient data, never leaves the hospital"),
    (PRIVATE, "differentially private for each patient"),
    (SEALED, "CKKS ciphertext under masks"),
)
ABOUT = "The way of the data from DICOM through private training and encryption to the sum and back"


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
    return sheet(WIDTH, HEIGHT, ABOUT, [*parts, *legend(LEGEND, 262, 366, down=26)])


if __name__ == "__main__":
    print(draw())
