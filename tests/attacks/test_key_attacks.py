"""Attacks 2, 3 and 4: another key than the steward's one key of the epoch is passed to a silo.

Whoever chooses the key reads every update that is encrypted under it. Each test first does what a silo without the
check would do (open the sealed box and use what is in it), then what ours does.
"""

from dataclasses import replace

import pytest

from privacy.he.keyholder import KeyHolder
from privacy.secagg.hybrid import seal
from privacy.secagg.keygrant import KeyMaterial, announce, binding
from privacy.wire.messages import KeyGrant
from tests.privacy.secagg.test_keygrant import EPOCH, OTHER, PARAMS, RECEIVER, STEWARD, World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def own() -> KeyMaterial:
    """The attacker's own key."""
    return KeyMaterial.generate(KeyHolder.generate(PARAMS).secret())


def unchecked(world: World, granted: KeyGrant) -> KeyMaterial:
    """Off: what a silo gets that opens whatever is sealed to it."""
    info = binding(granted.announce.body, granted.giver, RECEIVER, granted.request_hash)
    return KeyMaterial.from_bytes(world.key.open(granted.enc, info))


def test_attack_key_substitution(world: World, own: KeyMaterial) -> None:
    """2: the aggregator seals its own key to the receiver under the steward's announcement."""
    honest = world.grant()
    info = binding(world.announcement.body, STEWARD, RECEIVER, honest.request_hash)
    forged = replace(honest, enc=seal(own.to_bytes(), world.requested.public_key, info))
    assert unchecked(world, forged) == own
    assert world.refused(forged) == "protocol.key_substitution"
    with pytest.raises(RuntimeError, match="not what the steward announced"):
        world.grant(material=own)
    mixed = KeyMaterial(world.material.secret, bytes(32))
    forged = replace(honest, enc=seal(mixed.to_bytes(), world.requested.public_key, info))
    assert world.refused(forged) == "protocol.key_substitution"
    short = replace(honest, enc=seal(b"short", world.requested.public_key, info))
    assert world.refused(short) == "protocol.key_malformed"


def test_attack_second_key_in_an_epoch(world: World, own: KeyMaterial) -> None:
    """3: the steward announces a second key, to some silos or after a while."""
    announced = announce(EPOCH, STEWARD, own)
    announcement = world.signed(announced, "key-announce", STEWARD)
    granted = world.grant(material=own, announced=announced, announcement=announcement)
    assert world.open(granted, announced=announced, known_key_id=None) == own
    code = world.refused(granted, announced=announced, known_key_id=world.announced.key_id)
    assert code == "protocol.key_equivocation"


def test_attack_key_by_a_non_steward(world: World, own: KeyMaterial) -> None:
    """4: a silo that is not the steward announces its own key."""
    announced = replace(world.announced, key_id=own.key_id)
    announcement = world.signed(announced, "key-announce", OTHER)
    granted = world.grant(giver=OTHER, material=own, announced=announced, announcement=announcement)
    assert unchecked(world, granted) == own
    assert world.refused(granted, announced=announced, announcer=OTHER) == "protocol.key_not_by_steward"
    with pytest.raises(RuntimeError, match="only the steward"):
        announce(EPOCH, OTHER, own)
