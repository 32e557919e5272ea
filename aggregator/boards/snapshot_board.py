"""Snapshots at the aggregator: who asks for the state of a closed round, and the one offer that is filled for them.

It can open none, and takes none that t silos' closes do not agree with. Nothing is taken that nobody asked for. Holders
fill the offer that stands frame by frame, each checked against the offer before it is stored, so that a giver that
goes away is followed by another; a snapshot is shown when it is whole, and dropped when a newer one is or when the
rounds after it can no longer be replayed.
"""

import hashlib
from collections.abc import Collection

from aggregator.storage.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import bodies
from privacy.wire.messages import Close
from privacy.wire.requests import Board, Phase
from privacy.wire.snapshots import SnapshotFrame, SnapshotOffer, SnapshotRequest

NO_ROUND = 0


class SnapshotBoard:
    """Requests by silo, and one offer with its frames, durable before they are shown. Not thread-safe by itself.

    Args:
        study_digest: of the study that is served.
        threshold: t.
        largest: a snapshot of more bytes is refused by its offer.
        store: where all of it is kept; what is found there is taken up again.
        identities: raw public key of each silo in roster order.
    """

    def __init__(
        self, study_digest: bytes, threshold: int, largest: int, store: RoundStore, identities: tuple[bytes, ...]
    ) -> None:
        self._digest, self._threshold, self._largest, self._store = study_digest, threshold, largest, store
        self._requests: dict[int, SnapshotRequest] = {}
        for index, message in store.all("request"):
            self._requests[index] = bodies.open_signed(message, SnapshotRequest, identities[index - 1])
        self._offer: tuple[Signed, SnapshotOffer] | None = None
        self._missing: list[int] = []
        for index, message in store.all("offer"):
            self._take_up(message, bodies.open_signed(message, SnapshotOffer, identities[index - 1]))

    def request(self, index: int, public_key: bytes, message: Signed) -> None:
        """Take a silo's request. Raises ProtocolError when it is for another silo or study."""
        request = bodies.open_signed(message, SnapshotRequest, public_key)
        if request.silo_index != index or request.study_digest != self._digest:
            raise ProtocolError("the snapshot request is for another silo or study", code="snapshot.foreign_request")
        if self._whole_round() < request.least_round:
            self._store.put(f"request-{index}", message)
            self._requests[index] = request

    def offer(self, index: int, public_key: bytes, message: Signed, newest: int, closes: Collection[Close]) -> None:
        """Take the offer of a holder; its frames follow.

        Args:
            index: who offers.
            public_key: of that silo.
            message: the signed offer.
            newest: the newest round that closed.
            closes: of that round.

        Raises:
            ProtocolError: nobody asked for it or another was quicker, it is too large, or t closes do not agree.
        """
        offer = bodies.open_signed(message, SnapshotOffer, public_key)
        if offer.silo_index != index:
            raise ProtocolError("a silo sent a message in another's name", code="protocol.foreign_signer")
        standing = self._offer[1].round_number if self._offer else NO_ROUND
        if offer.round_number != newest or standing >= newest or not self.wanted(newest):
            raise ProtocolError("nobody waits for this snapshot", code="snapshot.not_wanted")
        if offer.size > self._largest:
            raise ProtocolError("the snapshot is larger than this aggregator takes", code="snapshot.too_large")
        offered = (offer.ctx, offer.chain, offer.state_mac)
        if sum((close.ctx, close.chain, close.state_mac) == offered for close in closes) < self._threshold:
            raise ProtocolError("the snapshot is not of the state that silos closed in", code="snapshot.foreign")
        self._clear()
        self._store.put(f"offer-{index}", message)
        self._take_up(message, offer)

    def frame(self, frame: SnapshotFrame) -> None:
        """Store a frame of the offer that stands. Raises ProtocolError for any other."""
        if self._offer is None or (frame.study_digest, frame.round_number) != (
            self._digest,
            self._offer[1].round_number,
        ):
            raise ProtocolError("nobody waits for this snapshot", code="snapshot.not_wanted")
        digests = self._offer[1].frame_sha256
        if frame.frame >= len(digests) or hashlib.sha256(frame.data).digest() != digests[frame.frame]:
            raise ProtocolError("a frame is not the one that the offer promised", code="snapshot.frame")
        if frame.frame in self._missing:
            self._store.put_sum(frame.frame, frame.data)
            self._missing.remove(frame.frame)
        if not self._missing:
            self._forget_answered()

    def wanted(self, newest: int) -> bool:
        """Whether a silo waits for a snapshot that a holder at round `newest` can give."""
        return any(request.least_round <= newest for request in self._requests.values())

    def reached(self, phase: Phase, least_round: int, newest: int) -> bool:
        """SNAPSHOT_REQUESTED: one is wanted. SNAPSHOT_OFFERED: one of that round or a later is here."""
        return self.wanted(newest) if phase == Phase.SNAPSHOT_REQUESTED else self._whole_round() >= least_round > 0

    def board(self, phase: Phase, least_round: int, newest: int) -> Board:
        """The offer that stands: while it is wanted with the next frame it lacks, else when it is whole."""
        reached = self.reached(phase, least_round, newest)
        if self._offer is None or not reached:
            return Board(reached, phase)
        if phase == Phase.SNAPSHOT_REQUESTED:
            if self._offer[1].round_number != newest or not self._missing:
                return Board(reached, phase)
            # Several holders that give at the same time are each told of another frame.
            self._missing.append(self._missing.pop(0))
            return Board(reached, phase, (self._offer[0],), frame=self._missing[-1])
        return Board(reached, phase, (self._offer[0],))

    def frames(self, round_number: int) -> int:
        """How many frames the snapshot of a round has. Raises ProtocolError when it is not, or no longer, here."""
        if self._offer is None or self._whole_round() != round_number:
            raise ProtocolError("there is no such snapshot, or no longer; ask again", code="snapshot.gone")
        return len(self._offer[1].frame_sha256)

    def read(self, index: int) -> bytes:
        """A stored frame. Raises ProtocolError when it is no longer kept."""
        return self._store.sum_frame(index)

    def drop_before(self, round_number: int) -> None:
        """Forget a snapshot after which rounds can no longer be replayed."""
        if self._offer is not None and self._offer[1].round_number < round_number:
            self._clear()

    @property
    def offered_round(self) -> int:
        """The round of the offer that stands, or 0."""
        return self._offer[1].round_number if self._offer else NO_ROUND

    def _whole_round(self) -> int:
        return NO_ROUND if self._missing else self.offered_round

    def _take_up(self, message: Signed, offer: SnapshotOffer) -> None:
        self._offer = (message, offer)
        here = self._store.sum_frames()
        self._missing = [index for index in range(len(offer.frame_sha256)) if index not in here]
        if not self._missing:
            self._forget_answered()

    def _forget_answered(self) -> None:
        for index, request in list(self._requests.items()):
            if request.least_round <= self._whole_round():
                self._store.drop(f"request-{index}")
                del self._requests[index]

    def _clear(self) -> None:
        """The offer goes first, so that no frame is ever taken for another offer's."""
        if self._offer is not None:
            self._store.drop(f"offer-{self._offer[1].silo_index}")
        self._offer, self._missing = None, []
        self._store.scrub()
