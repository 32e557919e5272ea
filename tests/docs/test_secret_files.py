"""The files that doctor looks at are those that the reference calls secret."""

import re
from pathlib import Path

import pytest

from privacy.operations import secret_files
from silo_node.state import SECRET
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/reference/files.md").read_text()


def named(heading: str) -> list[str]:
    """The files marked as secret below a heading, with a letter in place of each name that varies."""
    text = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        row.split("|")[1] for row in text.splitlines() if row.startswith("| `") and "(secret)" in row.split("|")[1]
    ]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [re.sub(r"<[^>]+>", "x", f"{name}x.key" if name.endswith("/") else name) for name in names]


@pytest.mark.parametrize(
    ("heading", "table"),
    [("State directory of a silo", SECRET), ("State directory of an aggregator", secret_files.COMMON)],
)
def test_each_is_in_the_table_and_the_other_way_round(heading: str, table: tuple[str, ...], tmp_path: Path) -> None:
    wanted = named(heading)
    assert wanted
    for name in wanted:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    found = {path.relative_to(tmp_path).as_posix() for path in secret_files.found(tmp_path, table)}
    assert found == set(wanted)
    if table is SECRET:
        assert all(any(tmp_path.glob(pattern)) for pattern in table), "a pattern that the page knows nothing of"
