"""Text in pixels, found by the program tesseract and compared with this patient's own header.

A person's name is looked for where it is known which: few false alarms, and no model to trust. Each frame
is read enlarged, as it is and inverted. Text in grey on tissue and small letters over anatomy are missed
(docs/explanation/deidentification.md has what was measured): the contact sheets are for those.
"""

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.deidentification.pixels.regions import Box
from imaging.deidentification.rejection import Quarantine, Quarantined
from imaging.deidentification.words import PatientWords
from imaging.errors import ImagingError

PROGRAM = "tesseract"
_SCALE = 2
_MARGIN = 4
"""Pixels around a blanked line."""

_SURE = 30.0
"""Confidence, of 100, from which something counts as text where all text goes."""


@dataclass(frozen=True)
class Line:
    """A line of text as it was read.

    Attributes:
        text: words with blanks between; may identify the patient.
        box: around it.
        sure: highest confidence of its words, 0 to 100.
    """

    text: str
    box: Box
    sure: float


def program() -> str:
    """Where the program is.

    Raises:
        ImagingError: `pixels.no_tesseract`: the profile asks for a search and it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise ImagingError(
            "the profile searches pixels for text and the program tesseract is not installed; "
            "install tesseract-ocr or set pixels.text_search to off",
            "pixels.no_tesseract",
        )
    return found


def found_lines(frame: NDArray[np.uint8], seconds: int) -> list[Line]:
    """All lines that are read in a frame.

    Args:
        frame: (rows, columns).
        seconds: for each of two passes.

    Raises:
        Quarantined: OCR.
    """
    enlarged = Image.fromarray(frame).resize(
        (frame.shape[1] * _SCALE, frame.shape[0] * _SCALE), Image.Resampling.BICUBIC
    )
    upright = np.asarray(enlarged)
    return [line for picture in (upright, 255 - upright) for line in _read(picture, seconds)]


def identifying(lines: Sequence[Line], words: PatientWords) -> tuple[Box, ...]:
    """The boxes of those lines that hold a value of the patient's header."""
    return tuple(_wider(line.box) for line in lines if words.nearly_within(line.text))


def any_text(lines: Sequence[Line]) -> tuple[Box, ...]:
    """The boxes of all lines that are probably text."""
    return tuple(
        _wider(line.box) for line in lines if line.sure >= _SURE and sum(sign.isalnum() for sign in line.text) > 1
    )


def grey(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A frame of any depth or colour as 8 bits of grey, stretched over all but its extreme values.

    Args:
        frame: (rows, columns) or (rows, columns, samples).
    """
    values = frame.astype(np.float32)
    if values.ndim == 3:
        values = values.mean(axis=2)
    low, high = np.percentile(values, (0.1, 99.9))
    low, high = (low, high) if high > low else (values.min(), max(values.max(), values.min() + 1))
    stretched: NDArray[np.uint8] = (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return stretched


def _read(picture: NDArray[np.uint8], seconds: int) -> list[Line]:
    png = io.BytesIO()
    Image.fromarray(picture).save(png, "PNG", compress_level=1)
    try:
        ended = subprocess.run(  # noqa: S603 - a fixed argument list; the image comes by standard input
            [program(), "stdin", "stdout", "--psm", "11", "--dpi", "150", "tsv"],
            input=png.getvalue(),
            capture_output=True,
            timeout=seconds,
            check=True,
            env={"PATH": os.environ.get("PATH", ""), "OMP_THREAD_LIMIT": "1"},
        )
        table = io.StringIO(ended.stdout.decode("utf-8", "replace"))
        reader = csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        if "conf" not in (reader.fieldnames or ()):
            raise Quarantined(Quarantine.OCR)
        rows = list(reader)
        found = [row for row in rows if float(row["conf"]) >= 0 and row["text"].strip()]
    except (OSError, subprocess.SubprocessError, KeyError, TypeError, ValueError):
        raise Quarantined(Quarantine.OCR) from None
    lines = []
    for _, group in groupby(found, key=lambda row: (row["block_num"], row["par_num"], row["line_num"])):
        words = list(group)
        corners = np.array([[int(word[key]) for key in ("left", "top", "width", "height")] for word in words]) // _SCALE
        x0, y0 = corners[:, :2].min(axis=0)
        x1, y1 = (corners[:, :2] + corners[:, 2:]).max(axis=0) + 1
        sure = max(float(word["conf"]) for word in words)
        lines.append(Line(" ".join(word["text"].strip() for word in words), (int(x0), int(y0), int(x1), int(y1)), sure))
    return lines


def _wider(box: Box) -> Box:
    return max(box[0] - _MARGIN, 0), max(box[1] - _MARGIN, 0), box[2] + _MARGIN, box[3] + _MARGIN
