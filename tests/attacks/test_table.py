"""Every attack of the table in docs/explanation has a test with its defence on and one with it off; none is missing."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "explanation" / "secure-aggregation.md"
ROWS = re.findall(r"^\| (\d+) \| .*? \| `(\w+)` \| `(\w+\.py)` \|$", PAGE.read_text(), re.MULTILINE)
ATTACKS = 15
"""How many the protocol lists."""


def played() -> set[tuple[str, str]]:
    """(attack, file) of all tests that play one against running parts, with its defence on or off."""
    found = set()
    for file in HERE.glob("test_*.py"):
        names = re.findall(r"^def test_attack_(\w+?)_(on|off)\(", file.read_text(), re.MULTILINE)
        stems = {stem for stem, _ in names if not stem.endswith("_of_values")}
        assert all({(stem, "on"), (stem, "off")} <= set(names) for stem in stems), file.name
        found |= {(stem, file.name) for stem in stems}
    return found


def test_every_attack_is_in_the_table() -> None:
    assert {int(number) for number, _, _ in ROWS} == set(range(1, ATTACKS + 1))


def test_the_table_names_the_tests_that_there_are() -> None:
    assert {(stem, file) for _, stem, file in ROWS} == played()
