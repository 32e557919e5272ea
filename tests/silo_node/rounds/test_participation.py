import pytest

from privacy.ledger.entry import Entry, check_body
from silo_node import export
from silo_node.rounds import participation
from silo_node.rounds.participation import Participation
from tests.privacy.studies import study

DIGEST = "ab" * 32
ROSTER = study().roster
NAMES = [silo.name for silo in ROSTER.silos]


def closed(number: int, silos: list[int] | None, outcome: str = "closed", digest: str = DIGEST) -> Entry:
    body = {"study_digest": digest, "round": number, "outcome": outcome, "chain": "ef" * 32}
    body |= {} if silos is None else {"silos": silos}
    check_body("closed", body)
    return Entry(0, "", "closed", body, "", "")


def test_each_silo_is_counted_in_the_sums_it_was_in() -> None:
    everyone = list(range(1, len(NAMES) + 1))
    entries = [closed(1, everyone), closed(2, everyone[:-1]), closed(3, [], "abandoned"), closed(4, everyone[:-1])]
    seen, parts = participation.of_all(entries, DIGEST, ROSTER)
    assert seen == 3
    assert parts[0] == Participation(NAMES[0], 3, 4)
    assert parts[-1] == Participation(NAMES[-1], 1, 1)


def test_rounds_of_others_and_lists_that_were_not_seen_do_not_count() -> None:
    entries = [closed(1, None), closed(2, []), closed(3, [1], digest="cd" * 32)]
    assert participation.lists(entries, DIGEST) == {}
    assert participation.of_all(entries, DIGEST, ROSTER)[1][0] == Participation(NAMES[0], 0, 0)


def test_who_is_absent_is_told_by_name() -> None:
    assert participation.absent(ROSTER, {1, 2}) == tuple(NAMES[2:])
    assert participation.absent(ROSTER, range(1, len(NAMES) + 1)) == ()


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        ((4, 4), "all of them in each of 4"),
        ((4, 2), "north in 4 (last: round 4), west in 2 (last: round 2)"),
        ((4, 0), "north in 4 (last: round 4), west in 0"),
    ],
)
def test_the_card_says_who_was_in_the_sums(sums: tuple[int, int], said: str) -> None:
    silos = [Participation(name, count, count).as_json() for name, count in zip(("north", "west"), sums, strict=True)]
    (line,) = export._parts({"sums_seen": 4, "silos": [*silos]})
    assert line.endswith(said)
