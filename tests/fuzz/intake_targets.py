"""What a hospital's intake of images keeps: pseudonyms, a folder's index, how far a pull got, who looked at what."""

from contextlib import closing
from functools import partial
from pathlib import Path

from imaging.deidentification import folder as deidentification
from imaging.deidentification.pixels import review
from imaging.deidentification.pseudonyms import Pseudonyms, PseudonymTable
from imaging.errors import ImagingError
from imaging.sources import pulling
from imaging.sources.catalogue import Catalogue
from tests.fuzz.files import file_of, in_file, json_seed, placed
from tests.fuzz.label_targets import QUERY
from tests.fuzz.target import Target

REFUSED_IMAGES = (ImagingError,)


def pseudonyms(path: Path) -> object:
    """A table of pseudonyms."""
    with closing(PseudonymTable(path)) as table:
        return table.patient("P"), table.uid("1.2"), table.days("P", 100)


def a_table(folder: Path) -> None:
    """One that was used."""
    with closing(PseudonymTable(folder / "x")) as table:
        table.patient("P")
        table.days("P", 100)
        table.keep()


def catalogue(path: Path) -> object:
    """The index of a folder."""
    (path.parent / "images").mkdir(exist_ok=True)
    with Catalogue(path, path.parent / "images", Pseudonyms(bytes(32))) as found:
        return found.scan(), list(found.select(QUERY))


def a_pull(folder: Path) -> None:
    """A pull of the same query that has found a series."""
    with closing(pulling._open(folder / "x", QUERY)) as state, state:
        state.execute("INSERT INTO series VALUES ('1.2.3', '1.2', 7, 0)")


def pull_state(path: Path) -> object:
    """How far a pull got."""
    with pulling._storage_errors(), closing(pulling._open(path, QUERY)) as state:
        return state.execute("SELECT series, study, told, done FROM series").fetchall()


def sheets(folder: Path) -> object:
    """A person's decision on sheets."""
    (folder / deidentification.FILES).mkdir()
    return review.decide(folder, "Ada", "accepted")


TARGETS = (
    Target("pseudonym-table", partial(in_file, pseudonyms, "x"), REFUSED_IMAGES, file_of("x", a_table), 16384),
    Target("catalogue", partial(in_file, catalogue, "x"), REFUSED_IMAGES, lambda: iter([b""]), 65536),
    Target("pull-state", partial(in_file, pull_state, "x"), REFUSED_IMAGES, file_of("x", a_pull), 65536),
    Target(
        "review-index",
        placed(f"{review.SHEETS}/{review.INDEX}", sheets),
        REFUSED_IMAGES,
        json_seed({"files": {}, "sheets": {}, "images": [], "not_shown": []}),
    ),
)
