"""Held shares leave for one survivor list: b of who survived, k of who did not, and the other half is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.secagg.held_shares import HeldShares

SHARE = st.binary(min_size=32, max_size=32)
HELD = st.dictionaries(st.integers(1, 64), st.tuples(SHARE, SHARE), min_size=1).map(HeldShares)


@given(held=HELD)
def test_is_stored_and_restored(held: HeldShares) -> None:
    assert HeldShares.from_bytes(held.to_bytes()) == held


@given(held=HELD, data=st.data())
def test_reveals_one_half_of_each(held: HeldShares, data: st.DataObject) -> None:
    survivors = data.draw(st.sets(st.sampled_from(sorted(held.by_owner)), min_size=1))
    revealed = held.reveal(survivors)
    dropped = sorted(set(held.by_owner) - survivors)
    expected = [held.by_owner[owner][0] for owner in sorted(survivors)]
    expected += [held.by_owner[owner][1] for owner in dropped]
    assert revealed.plaintext == b"".join(expected)
    assert sorted(revealed.shares) == sorted(expected)


@pytest.mark.parametrize("bad", [b"", bytes(64), bytes(66), bytes(130)])
def test_damaged_storage_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="held shares"):
        HeldShares.from_bytes(bad)


def test_survivors_are_among_the_owners() -> None:
    held = HeldShares({1: (bytes(32), bytes(32)), 2: (bytes(32), bytes(32))})
    for survivors in ((), (3,), (1, 3)):
        with pytest.raises(ValueError, match="survivors"):
            held.reveal(survivors)
    with pytest.raises(ValueError, match="32 bytes"):
        HeldShares({1: (bytes(31), bytes(32))})


def test_shares_are_not_shown() -> None:
    held = HeldShares({1: (b"\xaa" * 32, b"\xbb" * 32)})
    assert "xaa" not in repr(held)
    assert "xaa" not in repr(held.reveal([1]))
