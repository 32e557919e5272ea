"""Every image of a batch before a person's eyes: contact sheets, and the decision that follows.

A thumbnail is the largest value over an image's frames, so that text in one frame is seen. Sheets hold
pixels and pseudonymous names, no header. The decision is bound to the sheets and files by SHA-256: other
files than those that were looked at are not accepted with it.
"""

import hashlib
import html
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from imaging.deidentification.folder import FILES
from imaging.deidentification.pixels.text_search import grey
from imaging.errors import ImagingError
from imaging.volumes import codecs
from imaging.volumes.headers import foreign_errors, load, parse
from imaging.volumes.rejection import ImageRejected

SHEETS, INDEX, DECISION, PAGE = "review", "sheets.json", "decision.json", "index.html"
_SIDE, _COLUMNS, _ROWS, _CAPTION = 320, 4, 4, 14


@dataclass(frozen=True)
class Decision:
    """What a person decided on a batch.

    Attributes:
        decision: accepted or rejected.
        by: name of the person.
        time: UTC, ISO 8601.
        sheets: SHA-256 of the list of sheets, hex.
        images: shown on them.
        not_shown: files without pixels that could be shown; they were not looked at.
    """

    decision: Literal["accepted", "rejected"]
    by: str
    time: str
    sheets: str
    images: int
    not_shown: int


def make_sheets(batch: Path) -> Path:
    """Write the sheets of a de-identified folder into its folder `review`.

    Returns:
        the page to open.

    Raises:
        ImagingError: `review.batch`: not a folder that `deidentify` made. `review.exists`. `review.storage`.
    """
    files = _files(batch)
    folder = batch / SHEETS
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise ImagingError(
            "the sheets exist already; remove the folder 'review' to make them anew", "review.exists"
        ) from None
    try:
        shown: list[dict[str, object]] = []
        sheets: list[str] = []
        missing: list[str] = []
        for page in _pages(files, missing):
            name = f"sheet-{len(sheets) + 1:04d}.png"
            _draw(page, len(shown)).save(folder / name)
            shown += [
                {"number": len(shown) + at + 1, "file": path.name, "sheet": name} for at, (path, _) in enumerate(page)
            ]
            sheets.append(name)
        digests = {path.name: _digest(path) for path in files}
        index = {"files": digests, "sheets": {name: _digest(folder / name) for name in sheets}, "images": shown}
        data = json.dumps(index | {"not_shown": missing}, indent=1, sort_keys=True).encode() + b"\n"
        (folder / INDEX).write_bytes(data)
        pictures = "\n".join(f'<p><img src="{html.escape(name)}" alt="{html.escape(name)}"></p>' for name in sheets)
        title = f"{len(shown)} images on {len(sheets)} sheets; {len(missing)} files have no picture"
        policy = "default-src 'none'; img-src 'self' file:"
        page_text = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Review</title>'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f"<h1>Does any image show who the patient is?</h1><p>{title}.</p>{pictures}</html>\n"
        )
        (folder / PAGE).write_text(page_text, "utf-8")
    except OSError as error:
        raise ImagingError(f"the disk refused the sheets ({error.strerror})", "review.storage") from None
    return folder / PAGE


def decide(batch: Path, by: str, decision: Literal["accepted", "rejected"]) -> Decision:
    """Write a person's decision on the sheets.

    Raises:
        ImagingError: `review.batch`, `review.no_sheets`; `review.changed`: files or sheets are not those that
            were shown; `review.decided`: there is a decision already; `review.name`; `review.storage`.
    """
    folder = batch / SHEETS
    if not by.strip():
        raise ImagingError("a decision needs the name of who decides", "review.name")
    try:
        data = (folder / INDEX).read_bytes()
        index = json.loads(data)
        files, sheets, shown, missing = (index[name] for name in ("files", "sheets", "images", "not_shown"))
        if not (isinstance(sheets, dict) and isinstance(shown, list) and isinstance(missing, list)):
            raise TypeError("another form")
    except (KeyError, OSError, RecursionError, TypeError, ValueError):
        raise ImagingError("there are no sheets to decide on; make them first", "review.no_sheets") from None
    there = {path.name: _digest(path) for path in _files(batch)}
    if there != files or {path.name: _digest(path) for path in folder.glob("*.png")} != sheets:
        raise ImagingError(
            "the files or sheets have changed since they were made; make the sheets anew", "review.changed"
        )
    made = Decision(
        decision=decision,
        by=by.strip(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        sheets=hashlib.sha256(data).hexdigest(),
        images=len(shown),
        not_shown=len(missing),
    )
    try:
        descriptor = os.open(folder / DECISION, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(asdict(made), indent=1, sort_keys=True).encode() + b"\n")
    except FileExistsError:
        raise ImagingError("these sheets were decided on already", "review.decided") from None
    except OSError as error:
        raise ImagingError(f"the disk refused the decision ({error.strerror})", "review.storage") from None
    return made


def _files(batch: Path) -> list[Path]:
    files = batch / FILES
    if not files.is_dir():
        raise ImagingError("this is no folder that 'deidentify' made", "review.batch")
    return sorted(path for path in files.iterdir() if path.suffix == ".dcm")


def _pages(files: list[Path], missing: list[str]) -> Iterator[list[tuple[Path, Image.Image]]]:
    page: list[tuple[Path, Image.Image]] = []
    for path in files:
        picture = _thumbnail(path)
        if picture is None:
            missing.append(path.name)
            continue
        page.append((path, picture))
        if len(page) == _COLUMNS * _ROWS:
            yield page
            page = []
    if page:
        yield page


def _thumbnail(path: Path) -> Image.Image | None:
    """The largest value over all frames, one frame in memory at a time; None: it has no picture to show."""
    try:
        with foreign_errors():
            dataset = parse(load(path), pixels=True)
            codecs.check_size(dataset)
            frames, _ = codecs.decode(dataset, colour=int(dataset.SamplesPerPixel) == 3)
            largest = reduce(np.maximum, frames)
            shades = grey(largest)
    except ImageRejected:
        return None
    # The largest of each block: an average would thin letters out until nobody sees them.
    block = -(-max(shades.shape) // _SIDE)
    rows, columns = (-(-side // block) * block for side in shades.shape)
    padded = np.zeros((rows, columns), np.uint8)
    padded[: shades.shape[0], : shades.shape[1]] = shades
    return Image.fromarray(padded.reshape(rows // block, block, columns // block, block).max(axis=(1, 3)))


def _draw(page: list[tuple[Path, Image.Image]], shown: int) -> Image.Image:
    height = _SIDE + _CAPTION
    sheet = Image.new("L", (_COLUMNS * _SIDE, -(-len(page) // _COLUMNS) * height), 0)
    write = ImageDraw.Draw(sheet)
    for at, (_, picture) in enumerate(page):
        x, y = at % _COLUMNS * _SIDE, at // _COLUMNS * height
        sheet.paste(picture, (x, y + _CAPTION))
        write.text((x + 2, y + 1), str(shown + at + 1), fill=255)
    return sheet


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
