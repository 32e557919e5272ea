"""The page on what a kill costs says what the tests show, case by case."""

import importlib
import inspect
from functools import reduce
from pathlib import Path

import pytest

from tests.e2e import test_kill_aggregator, test_kill_table, test_line
from tests.e2e.mortal import Place

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "what-a-kill-costs.md"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first two lines."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_for_a_silo_is_that_of_the_tests() -> None:
    said = {True: "yes", False: "no"}
    assert rows("A silo") == [
        [str(case.line), case.name, said[case.counted], said[case.charged]] for case in test_kill_table.CASES
    ]
    assert {case.line for case in test_kill_table.CASES} == set(range(1, 9)), "the protocol's table has eight lines"


def test_the_tables_for_the_aggregator_and_the_line_are_those_of_the_tests() -> None:
    assert rows("The aggregator") == [[what] for what in test_kill_aggregator.CASES]
    assert rows("The line") == [[line] for line in test_line.LINES]


PLACES = [case.place for case in test_kill_table.CASES] + [
    place for places in test_kill_aggregator.CASES.values() for place in places
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.when}-{place.target}")
def test_every_place_is_in_the_program(place: Place) -> None:
    """Whoever renames a function is told here, not by the slow tests."""
    for target in filter(None, (place.target, place.within)):
        module, _, path = target.partition(":")
        found = reduce(getattr, path.split("."), importlib.import_module(module))
        if target == place.target:
            assert set(place.given) <= set(inspect.signature(found).parameters)
