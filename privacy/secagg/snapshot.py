"""A closed round's model state for a silo that comes late: sealed under G, vouched for by the closes of t silos.

Every silo's signed Close carries `state_mac`, a keyed digest of the state that it computed. The state travels as bytes,
cut into frames, each AES-256-GCM under a key that is derived from G and from that digest: under one key only this one
state was ever sealed, so the nonce may be the frame's index, two holders make the same frames, and a download goes on
with another holder's. Who opens it knows that a silo sealed it and, by the closes, that t silos stand there.

Does not know what a state is, and neither sends nor stores (`silo_node.rounds.snapshot`).
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.channel.envelope import Signed
from privacy.digest import integer, protocol_hash
from privacy.errors import ProtocolError
from privacy.roster import Roster
from privacy.secagg.derive import derive, group_key
from privacy.wire.bodies import open_signed
from privacy.wire.messages import Close
from privacy.wire.snapshots import FRAME_BYTES, FRAME_TAG_BYTES, SnapshotOffer, frame_count

NONCE_BYTES = 12
PIECE_BYTES = FRAME_BYTES - FRAME_TAG_BYTES

State: TypeAlias = Sequence[memoryview]
"""The bytes of a state, in pieces of any length, each one-dimensional of single bytes."""


def state_mac(group_secret: bytes, ctx: bytes, state: State) -> bytes:
    """HMAC(K("state"), SHA-256(state)), 32 bytes: tells the aggregator nothing of a state that it might guess."""
    digest = hashlib.sha256()
    for piece in state:
        digest.update(piece)
    return hmac.digest(group_key(group_secret, ctx, "state"), digest.digest(), "sha256")


@dataclass(frozen=True)
class SealedState:
    """A state as its giver seals it: frames are made when they are asked for, each time the same bytes."""

    ctx: bytes
    chain: bytes
    mac: bytes
    size: int
    _cipher: AESGCM
    _state: State

    @classmethod
    def of(cls, group_secret: bytes, ctx: bytes, chain: bytes, state: State) -> "SealedState":
        """Seal the state after the round whose context is `ctx`; `chain` is the chain after it."""
        mac, size = state_mac(group_secret, ctx, state), sum(len(piece) for piece in state)
        return cls(ctx, chain, mac, size, _cipher(group_secret, ctx, chain, mac, size), state)

    def frame(self, index: int) -> bytes:
        """Frame `index`, from 0; 2^20 bytes, but for the last.

        Raises:
            ValueError: there is none.
        """
        if not 0 <= index < frame_count(self.size):
            raise ValueError("there is no such frame")
        return self._cipher.encrypt(_nonce(index), _piece(self._state, index * PIECE_BYTES), None)

    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of each frame."""
        return tuple(hashlib.sha256(self.frame(index)).digest() for index in range(frame_count(self.size)))


@dataclass(frozen=True)
class Unsealing:
    """The receiver's side of an offer that was checked (`check_offer`)."""

    offer: SnapshotOffer
    group_secret: bytes

    def piece(self, index: int, frame: bytes) -> bytes:
        """What frame `index` holds.

        Raises:
            ProtocolError: `snapshot.altered`: it is not the frame that was offered.
        """
        offer = self.offer
        if hashlib.sha256(frame).digest() != offer.frame_sha256[index]:
            raise _altered()
        cipher = _cipher(self.group_secret, offer.ctx, offer.chain, offer.state_mac, offer.size)
        try:
            return cipher.decrypt(_nonce(index), frame, None)
        except InvalidTag as error:
            raise _altered() from error

    def check(self, state: State) -> None:
        """Raises ProtocolError `snapshot.altered` if the whole is not the state that the closes vouch for."""
        if not hmac.compare_digest(state_mac(self.group_secret, self.offer.ctx, state), self.offer.state_mac):
            raise _altered()


def check_offer(offer: SnapshotOffer, giver: int, closes: Iterable[tuple[int, Close]], roster: Roster) -> None:
    """Check who stands behind a snapshot, before a byte of it is fetched.

    That t silos say it makes it true: at most t - 2 collude, so an honest one says so of its own round. That it is of
    this study and key is seen at the end, as `state_mac` is keyed with G.

    Args:
        offer: its verified body; `giver` is the roster index of who signed it.
        giver: see `offer`.
        closes: verified `Close` bodies with the roster index of who signed each.
        roster: of our signed study.

    Raises:
        ProtocolError: `snapshot.wrong_name`; `snapshot.too_few_closes`: fewer than t silos closed the round with this
            context, chain and state.
    """
    if offer.silo_index != giver:
        raise ProtocolError("a snapshot names another silo than the one that signed it", code="snapshot.wrong_name")
    voices = {index for index, close in closes if _place(close) == _place(offer)}
    if len(voices) < roster.threshold:
        raise ProtocolError(
            f"{len(voices)} silos closed the round in the state of this snapshot where {roster.threshold} must have",
            code="snapshot.too_few_closes",
        )


def open_closes(messages: Iterable[Signed], roster: Roster) -> list[tuple[int, Close]]:
    """Verify signed closes against the roster.

    Raises:
        CollegiumError: a signer or signature is not what was claimed, or a message is malformed.
    """
    opened = []
    for message in messages:
        index = roster.index(message.signer)
        key = bytes.fromhex(roster.silos[index - 1].identity)
        opened.append((index, open_signed(message, Close, key)))
    return opened


def _place(message: Close | SnapshotOffer) -> tuple[bytes, int, bytes, bytes]:
    return message.ctx, message.round_number, message.chain, message.state_mac


def _cipher(group_secret: bytes, ctx: bytes, chain: bytes, mac: bytes, size: int) -> AESGCM:
    salt = protocol_hash("snapshot", ctx, chain, mac, integer(size))
    return AESGCM(derive(group_secret, salt, "snapshot"))


def _nonce(index: int) -> bytes:
    return index.to_bytes(NONCE_BYTES, "big")


def _piece(state: State, start: int) -> bytes:
    """What one frame holds of a state: the bytes from `start` on."""
    gathered = bytearray()
    for part in state:
        gathered += part[start : start + PIECE_BYTES - len(gathered)]
        start = max(0, start - len(part))
    return bytes(gathered)


def _altered() -> ProtocolError:
    return ProtocolError("a snapshot is not the one that the silos vouch for", code="snapshot.altered")
