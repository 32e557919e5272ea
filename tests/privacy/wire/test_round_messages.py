"""M1, M2 and M5 on the wire: what is not well formed is never a value, and what is comes back as it was."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.channel.envelope import Signed
from privacy.errors import IdentityError, ProtocolError
from privacy.secagg import hybrid
from privacy.wire import bodies, parsing, sets
from privacy.wire.limits import BOX_C_BYTES, BOX_S_BYTES, KEM_PUBLIC_BYTES, MAX_SILOS
from privacy.wire.messages import Advertise, ShareBox, Shares, Unmask
from privacy.wire.requests import Phase

CTX, DIGEST = b"c" * 32, b"d" * 32
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
ADVERTISE = Advertise(CTX, 7, 3, b"p" * KEM_PUBLIC_BYTES, b"q" * KEM_PUBLIC_BYTES, DIGEST)
BOXES = tuple(ShareBox(silo, b"b" * BOX_C_BYTES, b"s" * BOX_S_BYTES, DIGEST, CTX) for silo in (1, 3, 64))
SHARES = Shares(CTX, 7, 3, DIGEST, BOXES)
UNMASK = Unmask(CTX, 7, 3, DIGEST, b"u" * (3 * 32 + 16))
MESSAGES: list[bodies.Body] = [ADVERTISE, SHARES, UNMASK]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_round_trip(message: bodies.Body) -> None:
    signed = bodies.decode_signed(bodies.encode_signed(bodies.seal(message, "silo-3", KEY)))
    assert signed.kind == type(message).__name__.lower()
    assert bodies.open_signed(signed, type(message), PUBLIC) == message  # type: ignore[type-var]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_only_verified_bytes_are_parsed(message: bodies.Body) -> None:
    signed = bodies.seal(message, "silo-3", KEY)
    damaged = replace(signed, body=signed.body[:-1] + bytes([signed.body[-1] ^ 1]))
    with pytest.raises(IdentityError):
        bodies.open_signed(damaged, type(message), PUBLIC)  # type: ignore[type-var]
    with pytest.raises(IdentityError):
        bodies.open_signed(signed, Advertise if message is not ADVERTISE else Unmask, PUBLIC)


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(ADVERTISE, ctx=b""),
        lambda: replace(ADVERTISE, round_number=0),
        lambda: replace(ADVERTISE, silo_index=MAX_SILOS + 1),
        lambda: replace(ADVERTISE, pk_c=bytes(KEM_PUBLIC_BYTES - 1)),
        lambda: replace(ADVERTISE, pk_s=bytes(KEM_PUBLIC_BYTES + 1)),
        lambda: replace(ADVERTISE, b_commit=b"short"),
        lambda: replace(BOXES[0], receiver=0),
        lambda: replace(BOXES[0], box_c=b"b" * BOX_S_BYTES),
        lambda: replace(BOXES[0], box_s=b"b" * BOX_C_BYTES),
        lambda: replace(BOXES[0], commit_b=b""),
        lambda: replace(BOXES[0], commit_k=b""),
        lambda: replace(SHARES, advertise_set=b""),
        lambda: replace(SHARES, boxes=()),
        lambda: replace(SHARES, boxes=BOXES[::-1]),
        lambda: replace(SHARES, boxes=(BOXES[0], BOXES[0])),
        lambda: replace(SHARES, silo_index=0),
        lambda: replace(UNMASK, survivors_hash=b""),
        lambda: replace(UNMASK, sealed=bytes(15)),
        lambda: replace(UNMASK, sealed=bytes(MAX_SILOS * 32 + 17)),
    ],
)
def test_malformed_values_do_not_exist(make: Callable[[], object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        make()
    assert caught.value.code == "protocol.malformed"


def test_sizes_are_those_of_the_hybrid() -> None:
    key = hybrid.HybridKey(bytes(32))
    assert len(key.public_key) == KEM_PUBLIC_BYTES
    assert len(hybrid.seal(bytes(64), key.public_key, b"")) == BOX_C_BYTES
    assert len(hybrid.seal(bytes(32), key.public_key, b"")) == BOX_S_BYTES


def test_shares_of_the_largest_roster_fit_a_body() -> None:
    boxes = tuple(replace(BOXES[0], receiver=silo) for silo in range(1, MAX_SILOS + 1))
    body = bodies.encode_body(replace(SHARES, boxes=boxes))
    assert len(body) < parsing.MAX_BODY_BYTES // 4


def test_phases_are_in_the_order_of_a_round() -> None:
    assert [phase.value for phase in Phase] == sorted(phase.value for phase in Phase)
    assert (Phase.ADVERTISED, Phase.SHARED, Phase.UNMASKED) == (3, 4, 8)


def test_sets_are_named_by_the_signed_bytes() -> None:
    one, other = (Signed("advertise", body, "silo-1", bytes(64)) for body in (b"ab", b"c"))
    assert sets.advertise_set_digest([one, other]) != sets.advertise_set_digest([other, one])
    joined = [replace(one, body=b"a"), replace(other, body=b"bc")]
    assert sets.advertise_set_digest([one, other]) != sets.advertise_set_digest(joined)
    assert sets.advertise_set_digest([one, other]) != sets.share_set_digest([one, other])
    assert sets.advertise_set_digest([one]) != sets.advertise_set_digest([one, other])
    assert len(sets.share_set_digest([one])) == 32
