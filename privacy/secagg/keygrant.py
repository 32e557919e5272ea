"""M0: how the study key reaches every silo of an epoch, and how an aggregator's own key is kept out.

The steward makes the CKKS secret and the 32-byte group secret G and signs their `key_id = H("key", sk, G)`. Each other
silo signs a request with a one-time public key; any holder seals `sk || G` to it under the steward's announcement.
The receiver checks who signed what, every field, and the hash of what it opened (protocol section 3, M0; attacks
2 to 4 of section 6). Takes bodies whose signatures were verified against the roster, with their signers' indices;
does not verify, send or store anything.
"""

import secrets
from dataclasses import dataclass, field

from privacy.channel.envelope import Signed
from privacy.digest import integer, protocol_hash
from privacy.errors import ProtocolError
from privacy.secagg.hybrid import HybridKey, seal
from privacy.study import Study
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.sets import key_request_digest

GROUP_SECRET_BYTES = 32


@dataclass(frozen=True)
class Epoch:
    """What a key is for: one epoch of one study's roster. Indices count from 1."""

    study_digest: bytes
    number: int
    roster_digest: bytes
    steward: int
    silos: int

    @classmethod
    def of(cls, study: Study) -> "Epoch":
        """The epoch a signed study names."""
        roster = study.roster
        return cls(study.digest(), roster.epoch, roster.digest(), roster.index(roster.steward), len(roster.silos))


@dataclass(frozen=True)
class KeyMaterial:
    """The two secrets of an epoch; hidden from `repr`."""

    secret: bytes = field(repr=False)
    """The CKKS secret, as `KeyHolder.secret()` gives it."""
    group_secret: bytes = field(repr=False)
    """G, 32 bytes: MAC keys, sealed unmasking and snapshots derive from it."""

    def __post_init__(self) -> None:
        if not self.secret or len(self.group_secret) != GROUP_SECRET_BYTES:
            raise ValueError("key material is a CKKS secret and a group secret of 32 bytes")

    @classmethod
    def generate(cls, secret: bytes) -> "KeyMaterial":
        """A steward's new material: its keyholder's secret with a fresh group secret."""
        return cls(secret, secrets.token_bytes(GROUP_SECRET_BYTES))

    @classmethod
    def from_bytes(cls, encoded: bytes) -> "KeyMaterial":
        """The material of `to_bytes`.

        Raises:
            ProtocolError: `protocol.key_malformed`: too short.
        """
        if len(encoded) <= GROUP_SECRET_BYTES:
            raise ProtocolError(
                "a key grant holds no key; ask the steward for a new grant", code="protocol.key_malformed"
            )
        return cls(encoded[:-GROUP_SECRET_BYTES], encoded[-GROUP_SECRET_BYTES:])

    def to_bytes(self) -> bytes:
        """`sk || G`: secret, to be sealed or stored 0600."""
        return self.secret + self.group_secret

    @property
    def key_id(self) -> bytes:
        """H("key", sk, G): names the key without showing it."""
        return protocol_hash("key", self.secret, self.group_secret)


def request(epoch: Epoch, silo: int, key: HybridKey) -> KeyRequest:
    """What silo `silo` signs to be given the key; `key` is fresh and used for this request alone."""
    return KeyRequest(epoch.study_digest, epoch.number, silo, key.public_key)


def announce(epoch: Epoch, silo: int, material: KeyMaterial) -> KeyAnnounce:
    """What the steward signs, once an epoch.

    Raises:
        RuntimeError: `silo` is not the steward.
    """
    if silo != epoch.steward:
        raise RuntimeError("only the steward announces a key")
    return KeyAnnounce(epoch.study_digest, epoch.number, epoch.roster_digest, material.key_id)


def grant(
    epoch: Epoch,
    giver: int,
    material: KeyMaterial,
    announcement: Signed,
    announced: KeyAnnounce,
    requested: KeyRequest,
    request_body: bytes,
    requester: int,
) -> KeyGrant:
    """Seal the material to a request.

    Args:
        epoch: of our signed study.
        giver: our roster index.
        material: what we hold.
        announcement: the steward's signed message, sent along; `announced` is its verified body.
        announced: see `announcement`.
        requested: the verified request; `request_body` are the bytes that were signed.
        request_body: see `requested`.
        requester: roster index of who signed the request.

    Raises:
        ProtocolError: `protocol.key_wrong_study`, `protocol.key_wrong_epoch`, `protocol.key_wrong_requester` or
            `protocol.public_key`: the request is not one to answer.
        RuntimeError: our material is not what was announced.
    """
    if announced.key_id != material.key_id:
        raise RuntimeError("the material is not what the steward announced")
    _check_study(epoch, requested.study_digest, requested.epoch)
    if requested.silo_index != requester or not 1 <= requester <= epoch.silos or requester == giver:
        raise _refused("a key was asked for by another silo than the one that signed", "key_wrong_requester")
    request_hash = hash_request(request_body)
    info = binding(announcement.body, giver, requester, request_hash)
    enc = seal(material.to_bytes(), requested.public_key, info)
    return KeyGrant(announcement, giver, requester, request_hash, enc)


def open_grant(
    epoch: Epoch,
    receiver: int,
    key: HybridKey,
    request_body: bytes,
    granted: KeyGrant,
    giver: int,
    announced: KeyAnnounce,
    announcer: int,
    known_key_id: bytes | None,
) -> KeyMaterial:
    """Check a grant in every field and open it.

    Args:
        epoch: of our signed study.
        receiver: our roster index.
        key: the one-time key of our request.
        request_body: the bytes of our request that we signed.
        granted: the verified grant; `giver` is the roster index of who signed it.
        giver: see `granted`.
        announced: the verified body of `granted.announce`; `announcer` is the roster index of who signed that.
        announcer: see `announced`.
        known_key_id: the key identifier we know of this epoch already, if any.

    Raises:
        ProtocolError: `protocol.` and `key_wrong_receiver`, `key_wrong_giver`, `key_not_by_steward`,
            `key_wrong_study`, `key_wrong_epoch`, `key_wrong_roster`, `key_stale_request`, `key_equivocation` (an
            incident: two keys in one epoch), `unsealable`, `key_malformed` or `key_substitution`.
    """
    if granted.receiver != receiver:
        raise _refused("a key grant is for another silo", "key_wrong_receiver")
    if granted.giver != giver or not 1 <= giver <= epoch.silos:
        raise _refused("a key grant names another giver than the silo that signed it", "key_wrong_giver")
    if announcer != epoch.steward:
        raise _refused("a key was announced by a silo that is not the steward", "key_not_by_steward")
    _check_study(epoch, announced.study_digest, announced.epoch)
    if announced.roster_digest != epoch.roster_digest:
        raise _refused("a key was announced for another roster", "key_wrong_roster")
    if granted.request_hash != hash_request(request_body):
        raise _refused("a key grant answers a request that this silo did not make last", "key_stale_request")
    if known_key_id is not None and announced.key_id != known_key_id:
        raise _refused("the steward announced two keys in one epoch", "key_equivocation")
    info = binding(granted.announce.body, giver, receiver, granted.request_hash)
    material = KeyMaterial.from_bytes(key.open(granted.enc, info))
    if material.key_id != announced.key_id:
        raise _refused("the key that was handed over is not the one the steward announced", "key_substitution")
    return material


def hash_request(request_body: bytes) -> bytes:
    """H(KeyRequest): digest of the signed bytes of a request, 32 bytes."""
    return key_request_digest(request_body)


def binding(announce_body: bytes, giver: int, receiver: int, request_hash: bytes) -> bytes:
    """The HPKE `info` of a grant: H of all its other fields, 32 bytes."""
    return protocol_hash("key-grant", announce_body, integer(giver), integer(receiver), request_hash)


def _check_study(epoch: Epoch, study_digest: bytes, number: int) -> None:
    if study_digest != epoch.study_digest:
        raise _refused("a key message is of another study", "key_wrong_study")
    if number != epoch.number:
        raise _refused("a key message is of another epoch", "key_wrong_epoch")


def _refused(what: str, code: str) -> ProtocolError:
    return ProtocolError(f"{what}; nothing was taken over, ask the consortium before going on", code=f"protocol.{code}")
