"""Any t shares give the secret, fewer tell nothing, and every wrong share is told from the right one."""

import secrets
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.secagg import shares
from privacy.secagg.faults import SiloFault
from privacy.secagg.shares import Kind, commitment

CTX = b"c" * 32


@given(secret=st.binary(min_size=32, max_size=32), silos=st.integers(2, 16), data=st.data())
@settings(max_examples=20)
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, silos: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(2, silos))
    made = dict(enumerate(shares.split(secret, threshold, silos), start=1))
    holders = data.draw(st.sets(st.sampled_from(sorted(made)), min_size=threshold))
    assert shares.combine({holder: made[holder] for holder in holders}, threshold) == secret


def test_every_subset_of_a_small_roster() -> None:
    secret = secrets.token_bytes(32)
    made = dict(enumerate(shares.split(secret, 4, 6), start=1))
    for holders in combinations(made, 4):
        assert shares.combine({holder: made[holder] for holder in holders}, 4) == secret
    for holders in combinations(made, 3):
        assert shares.combine({holder: made[holder] for holder in holders}, 3) != secret


def test_too_few_shares_tell_nothing() -> None:
    """With t - 1 shares every secret is still possible: some t-th share completes them to it."""
    one, other = secrets.token_bytes(32), secrets.token_bytes(32)
    made = dict(enumerate(shares.split(one, 3, 3), start=1))
    # Shares are affine in the secret: those of `one` and of a polynomial that vanishes at 1 and 2 add up.
    difference = bytes(a ^ b for a, b in zip(one, other, strict=True))
    vanishing: dict[int, bytes] = {0: difference, 1: bytes(32), 2: bytes(32)}
    from Crypto.Protocol.SecretSharing import _Element  # type: ignore[attr-defined]

    third = b""
    for half in (slice(0, 16), slice(16, 32)):
        # Lagrange through (0, difference), (1, 0), (2, 0), at 3.
        x = [_Element(value) for value in (0, 1, 2, 3)]
        numerator = (x[3] + x[1]) * (x[3] + x[2])
        denominator = (x[0] + x[1]) * (x[0] + x[2])
        third += (_Element(vanishing[0][half]) * numerator * denominator.inverse()).encode()
    completed = {**made, 3: bytes(a ^ b for a, b in zip(made[3], third, strict=True))}
    assert shares.combine(completed, 3) == other


def test_splitting_is_fresh() -> None:
    secret = bytes(32)
    assert set(shares.split(secret, 2, 4)).isdisjoint(shares.split(secret, 2, 4))


@pytest.mark.parametrize(("length", "threshold", "silos"), [(31, 2, 3), (33, 2, 3), (32, 1, 3), (32, 4, 3)])
def test_splitting_refuses(length: int, threshold: int, silos: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        shares.split(bytes(length), threshold, silos)


def test_combining_refuses() -> None:
    made = dict(enumerate(shares.split(bytes(32), 2, 3), start=1))
    with pytest.raises(ValueError, match="2 shares"):
        shares.combine({1: made[1]}, 2)
    with pytest.raises(ValueError, match="2 shares"):
        shares.combine({1: made[1], 2: made[2][:31]}, 2)


def test_a_commitment_binds_every_part() -> None:
    share, other = secrets.token_bytes(32), secrets.token_bytes(32)
    committed = commitment(CTX, Kind.B, 1, 2, share)
    shares.check(committed, CTX, Kind.B, 1, 2, share, sender=7)
    wrong = [
        (b"d" * 32, Kind.B, 1, 2, share),
        (CTX, Kind.K, 1, 2, share),
        (CTX, Kind.B, 3, 2, share),
        (CTX, Kind.B, 1, 3, share),
        (CTX, Kind.B, 2, 1, share),
        (CTX, Kind.B, 1, 2, other),
        (CTX, Kind.B, 1, 2, share[:31]),
        (CTX, Kind.B, 1, 2, share + b"\0"),
        (CTX, Kind.B, 1, 2, b""),
    ]
    for ctx, kind, owner, holder, shown in wrong:
        with pytest.raises(SiloFault, match="silo 7") as caught:
            shares.check(committed, ctx, kind, owner, holder, shown, sender=7)
        assert (caught.value.code, caught.value.silo) == ("share.wrong", 7)
