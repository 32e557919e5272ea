"""The study key reaches every silo from the steward or another holder, and nothing else passes for it."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.channel.envelope import Signed, sign
from privacy.errors import CollegiumError, ProtocolError
from privacy.he.keyholder import KeyHolder
from privacy.he.params import PRIMES, CiphertextParams
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.keygrant import Epoch, KeyMaterial, announce, grant, hash_request, open_grant, request
from privacy.wire.bodies import encode_body, open_signed
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest

PARAMS = CiphertextParams(4096, PRIMES[4096, 48], 16, 3)
EPOCH = Epoch(b"\1" * 32, 1, b"\2" * 32, steward=2, silos=3)
STEWARD, RECEIVER, OTHER = 2, 1, 3


class World:
    """Three silos with real keys and envelopes; the steward has announced."""

    def __init__(self) -> None:
        self.identities = {index: Ed25519PrivateKey.generate() for index in (1, 2, 3)}
        self.material = KeyMaterial.generate(KeyHolder.generate(PARAMS).secret())
        self.announced = announce(EPOCH, STEWARD, self.material)
        self.announcement = self.signed(self.announced, "key-announce", STEWARD)
        self.key = HybridKey.generate()
        self.requested = request(EPOCH, RECEIVER, self.key)
        self.request_body = encode_body(self.requested)

    def signed(self, message: KeyAnnounce, kind: str, signer: int) -> Signed:
        return sign(kind, encode_body(message), f"silo-{signer}", self.identities[signer])

    def grant(self, **changes: object) -> KeyGrant:
        arguments: dict[str, object] = {
            "epoch": EPOCH,
            "giver": STEWARD,
            "material": self.material,
            "announcement": self.announcement,
            "announced": self.announced,
            "requested": self.requested,
            "request_body": self.request_body,
            "requester": RECEIVER,
        }
        return grant(**{**arguments, **changes})  # type: ignore[arg-type]

    def open(self, granted: KeyGrant, **changes: object) -> KeyMaterial:
        arguments: dict[str, object] = {
            "epoch": EPOCH,
            "receiver": RECEIVER,
            "key": self.key,
            "request_body": self.request_body,
            "granted": granted,
            "giver": granted.giver,
            "announced": self.announced,
            "announcer": STEWARD,
            "known_key_id": None,
        }
        return open_grant(**{**arguments, **changes})  # type: ignore[arg-type]

    def refused(self, granted: KeyGrant, **changes: object) -> str:
        with pytest.raises(ProtocolError) as caught:
            self.open(granted, **changes)
        return caught.value.code


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_the_steward_grants_and_the_keys_are_the_same(world: World) -> None:
    material = world.open(world.grant())
    assert material == world.material
    steward, receiver = (KeyHolder.from_secret(PARAMS, held.secret) for held in (world.material, material))
    values = np.arange(100, dtype=np.uint16)
    upload = receiver.protect(values)
    assert np.array_equal(steward.open(upload.frames, [upload.seeds], 100), values)


def test_any_holder_grants_again_under_the_same_announcement(world: World) -> None:
    assert world.open(world.grant(giver=OTHER), known_key_id=world.announced.key_id) == world.material


def test_a_grant_survives_the_wire(world: World) -> None:
    granted = world.grant()
    signed = sign("key-grant", encode_body(granted), "silo-2", world.identities[STEWARD])
    received = open_signed(signed, KeyGrant, world.identities[STEWARD].public_key().public_bytes_raw())
    assert world.open(received) == world.material


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"study_digest": b"\7" * 32}, "protocol.key_wrong_study"),
        ({"epoch": 2}, "protocol.key_wrong_epoch"),
        ({"roster_digest": b"\7" * 32}, "protocol.key_wrong_roster"),
    ],
)
def test_an_announcement_of_something_else(world: World, change: dict[str, object], code: str) -> None:
    announced = replace(world.announced, **change)  # type: ignore[arg-type]
    granted = world.grant(announced=announced, announcement=world.signed(announced, "key-announce", STEWARD))
    assert world.refused(granted, announced=announced) == code


def test_fields_of_a_grant(world: World) -> None:
    granted = world.grant()
    assert world.refused(granted, receiver=OTHER) == "protocol.key_wrong_receiver"
    assert world.refused(granted, giver=OTHER) == "protocol.key_wrong_giver"
    assert world.refused(replace(granted, giver=4), giver=4) == "protocol.key_wrong_giver"
    assert world.refused(replace(granted, request_hash=bytes(32))) == "protocol.key_stale_request"
    # Sealed text is bound to giver, receiver, announcement and request.
    assert world.refused(replace(granted, giver=OTHER), giver=OTHER) == "protocol.unsealable"
    relabelled = replace(granted, announce=replace(granted.announce, body=granted.announce.body + b"\0"))
    assert world.refused(relabelled) == "protocol.unsealable"
    damaged = replace(granted, enc=granted.enc[:-1] + bytes([granted.enc[-1] ^ 1]))
    assert world.refused(damaged) == "protocol.unsealable"


def test_a_grant_for_an_earlier_request_is_stale(world: World) -> None:
    newer = HybridKey.generate()
    body = encode_body(request(EPOCH, RECEIVER, newer))
    assert world.refused(world.grant(), key=newer, request_body=body) == "protocol.key_stale_request"
    assert hash_request(body) != hash_request(world.request_body)


@pytest.mark.parametrize(
    ("change", "requester", "code"),
    [
        ({"study_digest": b"\7" * 32}, RECEIVER, "protocol.key_wrong_study"),
        ({"epoch": 2}, RECEIVER, "protocol.key_wrong_epoch"),
        ({}, OTHER, "protocol.key_wrong_requester"),
        ({"silo_index": 4}, 4, "protocol.key_wrong_requester"),
        ({"silo_index": STEWARD}, STEWARD, "protocol.key_wrong_requester"),
        ({"public_key": b"\xff" * 1216}, RECEIVER, "protocol.public_key"),
    ],
)
def test_requests_that_are_not_answered(world: World, change: dict[str, object], requester: int, code: str) -> None:
    requested: KeyRequest = replace(world.requested, **change)  # type: ignore[arg-type]
    with pytest.raises(CollegiumError) as caught:
        world.grant(requested=requested, requester=requester)
    assert caught.value.code == code


def test_secrets_are_not_shown(world: World) -> None:
    shown = repr(world.material) + str(world.material)
    assert world.material.group_secret.hex() not in shown
    assert repr(world.material.group_secret) not in shown
    assert repr(world.material.secret) not in shown
    assert KeyMaterial.from_bytes(world.material.to_bytes()) == world.material


def test_material_is_checked() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyMaterial(b"secret", b"short")
    with pytest.raises(ProtocolError) as caught:
        KeyMaterial.from_bytes(bytes(32))
    assert caught.value.code == "protocol.key_malformed"


def test_key_id_covers_both_secrets() -> None:
    material = KeyMaterial(b"\1" * 40, b"\2" * 32)
    others = [KeyMaterial(b"\1" * 40, b"\3" * 32), KeyMaterial(b"\1" * 39, b"\2" * 32)]
    assert material.key_id not in {other.key_id for other in others}
