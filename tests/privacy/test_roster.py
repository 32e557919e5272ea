"""The roster: which thresholds it may have and what they tolerate, its code, and who is on it under which number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.errors import StudyError
from privacy.roster import Party, Roster, fingerprint, least_threshold
from tests.privacy.studies import NAMES, draft, key, parsed, study

TABLE = {
    3: (3, 0, 1),
    4: (3, 1, 1),
    5: (4, 1, 2),
    6: (5, 1, 3),
    7: (5, 2, 2),
    8: (6, 2, 3),
    10: (7, 3, 3),
    16: (11, 5, 5),
    32: (22, 10, 11),
    64: (43, 21, 21),
}
"""protocol.md section 1, by roster size: default threshold, dropouts tolerated, colluding silos tolerated."""


def roster(silos: int, threshold: int) -> Roster:
    parties = tuple(Party(name=f"silo-{index}", identity=key(index)) for index in range(silos))
    hub = Party(name="hub", identity=key(999))
    return Roster(threshold=threshold, steward="silo-0", aggregator=hub, silos=parties)


@pytest.mark.parametrize(("silos", "row"), TABLE.items())
def test_the_threshold_and_what_it_tolerates_are_those_of_the_protocol(silos: int, row: tuple[int, int, int]) -> None:
    made = roster(silos, least_threshold(silos))
    assert (made.threshold, made.dropouts_tolerated, made.collusion_tolerated) == row


@given(st.integers(4, 64), st.data())
def test_a_higher_threshold_trades_dropouts_for_collusion(silos: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(least_threshold(silos), silos - 1))
    lower, higher = roster(silos, threshold), roster(silos, threshold + 1)
    assert higher.dropouts_tolerated == lower.dropouts_tolerated - 1
    assert lower.collusion_tolerated < higher.collusion_tolerated <= silos - 2


def test_two_silos_have_no_secret_from_each_other() -> None:
    assert (roster(2, 2).dropouts_tolerated, roster(2, 2).collusion_tolerated) == (0, 0)


@given(st.integers(3, 64))
def test_two_disjoint_groups_of_honest_silos_cannot_both_reach_the_threshold(silos: int) -> None:
    threshold = least_threshold(silos)
    colluding = roster(silos, threshold).collusion_tolerated
    assert colluding >= 1
    assert 2 * (threshold - colluding) > silos - colluding


@pytest.mark.parametrize("silos", range(3, 17))
def test_a_study_below_or_above_its_threshold_is_refused(silos: int) -> None:
    least = least_threshold(silos)
    for threshold in range(silos + 2):
        if least <= threshold <= silos:
            assert study(silos, threshold).roster.threshold == threshold
        else:
            with pytest.raises(ValidationError, match="threshold must be"):
                study(silos, threshold)


def test_the_order_of_silos_is_part_of_the_roster() -> None:
    data = draft()
    data["roster"]["silos"].reverse()
    assert parsed(data).roster.digest() != study().roster.digest()
    assert parsed(data).roster.code != study().roster.code


def test_the_roster_code_is_short_and_says_nothing_else() -> None:
    code = study().roster.code
    assert len(code) == 9
    assert code[4] == "-"
    assert set(code) - {"-"} <= set("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")


def test_a_fingerprint_is_sixteen_groups_of_four() -> None:
    groups = fingerprint(bytes(32)).split(" ")
    assert [len(group) for group in groups] == [4] * 16
    assert fingerprint(bytes(32)) != fingerprint(b"\1" * 32)


def test_indices_count_from_one_and_strangers_have_none() -> None:
    assert [study().roster.index(name) for name in NAMES[:3]] == [1, 2, 3]
    with pytest.raises(StudyError) as caught:
        study().roster.index("stranger")
    assert caught.value.code == "study.not_on_roster"
