"""The state of the newest closed round for a silo that comes late, over the network: given as any holder, or taken.

A holder gives while it waits for others, one frame at a time, so that it misses no step of a round. A silo takes one
when the aggregator no longer keeps a round that it would have to replay: it checks who stands behind the offer, then
fetches, keeps what it has of it over a restart, opens, and compares the whole with what t silos signed. Rounds
that it missed it never trains.
"""

import shutil
from dataclasses import dataclass, field

import numpy as np

from privacy.channel.envelope import Signed
from privacy.errors import CorruptState, ProtocolError
from privacy.secagg.ranges import Ranges
from privacy.secagg.snapshot import PIECE_BYTES, SealedState, State, Unsealing, check_offer, open_closes
from privacy.study import Study
from privacy.update import UpdateLayout
from privacy.wire import bodies
from privacy.wire.requests import Phase
from privacy.wire.snapshots import SnapshotFrame, SnapshotOffer, SnapshotRequest
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import OptimizerState
from silo_node.rounds.standing import Standing

GONE = "sum.gone"
"""The aggregator's answer for ciphertext that it no longer keeps."""
OVERTAKEN = ("snapshot.not_wanted", "snapshot.foreign", "snapshot.frame")
"""Answers to a holder that was too late, or is not where t others are."""
HEAD = np.dtype("<i8")
VECTORS = 4
HEAD_VALUES = 1 + VECTORS + 1
HEAD_BYTES = HEAD_VALUES * HEAD.itemsize
VALUE_BYTES = np.dtype("<f8").itemsize


def state_of(model: GlobalModel) -> State:
    """The bytes that are sealed: steps and lengths as 8-byte integers, the four vectors, the ranges' powers.

    Little-endian. Round, chain and outcome are in the Closes, and no part of it.
    """
    kept = model.optimizer
    vectors = (kept.weights, kept.average, kept.first, kept.second)
    powers = np.array(model.ranges.powers, np.int8)
    head = np.array([kept.steps, *(vector.size for vector in vectors), powers.size], HEAD)
    arrays = (head, *(vector.astype("<f8", copy=False) for vector in vectors), powers)
    return [array.view(np.uint8).data for array in arrays]


def model_of(state: bytearray, offer: SnapshotOffer, layout: UpdateLayout) -> GlobalModel:
    """The model in the bytes of `state_of`, its vectors without a copy, after the round of `offer`.

    Raises:
        ProtocolError: `snapshot.altered`: they are not those of this layout, or not finite.
    """
    steps, *lengths = (int(value) for value in np.frombuffer(state, HEAD, HEAD_VALUES))
    *sizes, tensors = lengths
    sound = sizes[0] == layout.parameters and all(size in (0, layout.parameters) for size in sizes) and steps >= 0
    if not sound or tensors != len(layout.tensors) or len(state) != _size(sum(sizes), tensors):
        raise ProtocolError("a snapshot is not of this study's network", code="snapshot.altered")
    starts = [HEAD_BYTES + sum(sizes[:index]) * VALUE_BYTES for index in range(VECTORS)]
    vectors = [
        np.frombuffer(state, "<f8", size, start).astype(np.float64, copy=False)
        for size, start in zip(sizes, starts, strict=True)
    ]
    powers = np.frombuffer(state, np.int8, tensors, len(state) - tensors)
    if not all(np.isfinite(vector).all() for vector in vectors):
        raise ProtocolError("a snapshot is not of a network that can be trained", code="snapshot.altered")
    try:
        ranges = Ranges(tuple(powers.tolist()))
    except ValueError as error:
        raise ProtocolError("a snapshot has ranges that no round leads to", code="snapshot.altered") from error
    weights, average, first, second = vectors
    return GlobalModel(OptimizerState(weights, average, first, second, steps), ranges, offer.round_number, offer.chain)


def _size(values: int, tensors: int) -> int:
    return HEAD_BYTES + values * VALUE_BYTES + tensors


@dataclass
class Snapshots:
    """One silo's giving and taking of snapshots in one study."""

    study: Study
    standing: Standing
    client: AggregatorClient
    group_secret: bytes = field(repr=False)
    layout: UpdateLayout

    def __post_init__(self) -> None:
        self._index = self.study.roster.index(self.standing.name)
        self._records, self._folder = self.standing.records, self.standing.folder
        self._own: tuple[SealedState, SnapshotOffer] | None = None

    def give(self, model: GlobalModel) -> bool:
        """Answer those who wait for a snapshot with the next step of giving ours; whether there was one to do.

        Raises:
            CollegiumError: the aggregator showed what is no offer.
        """
        board = self.client.board(0, Phase.SNAPSHOT_REQUESTED)
        self._own = self._sealed(model) if board.reached else None
        if self._own is None:
            return False
        sealed, offer = self._own
        try:
            if not board.messages:
                self.client.submit(self.standing.seal(offer))
                return True
            _, standing = self._opened(board.messages[0])
            if standing.round_number != offer.round_number or standing.frame_sha256 != offer.frame_sha256:
                return False
            data = sealed.frame(board.frame)
            frame = SnapshotFrame(self.study.digest(), offer.round_number, board.frame, data)
            self.client.give_snapshot_frame(frame)
        except ProtocolError as error:
            if error.code not in OVERTAKEN:
                raise
            return False
        return True

    def take(self, least_round: int) -> GlobalModel:
        """The state after a round not before `least_round`, in which t silos closed it.

        Raises:
            ProtocolError: `snapshot.` and a reason: what was offered is not to be believed; an incident.
            CollegiumError: a signature is not what was claimed.
        """
        while True:
            self.client.submit(self.standing.seal(SnapshotRequest(self.study.digest(), self._index, least_round)))
            offer = self._offered(least_round)
            try:
                model = self._fetched(offer)
            except ProtocolError as error:
                if error.code in (GONE, "snapshot.gone"):
                    continue
                shutil.rmtree(self._folder.snapshot, ignore_errors=True)
                raise
            self._records.snapshot_taken(model, self.study.roster.silos[offer.silo_index - 1].name)
            model.store(self._folder.model_file)
            shutil.rmtree(self._folder.snapshot, ignore_errors=True)
            return model

    # ---- taking

    def _offered(self, least_round: int) -> SnapshotOffer:
        """The checked offer of a round that is not before `least_round`."""
        giver, offer = self._opened(self.client.wait(least_round, Phase.SNAPSHOT_OFFERED).messages[0])
        if offer.round_number < least_round:
            raise ProtocolError("the aggregator offers an older snapshot than was asked for", code="snapshot.older")
        closes = open_closes(self.client.wait(offer.round_number, Phase.CLOSED).messages, self.study.roster)
        check_offer(offer, giver, closes, self.study.roster)
        known = self._records.chain_after(offer.round_number)
        if known is not None and known != offer.chain:
            raise ProtocolError("a snapshot contradicts this silo's own ledger", code="snapshot.other_history")
        tensors = len(self.layout.tensors)
        if offer.size not in {_size(count * self.layout.parameters, tensors) for count in range(1, VECTORS + 1)}:
            raise ProtocolError("a snapshot has not the size of this study's model", code="snapshot.size")
        return offer

    def _fetched(self, offer: SnapshotOffer) -> GlobalModel:
        unsealing = Unsealing(offer, self.group_secret)
        self.client.snapshot_frames(offer, self._folder.snapshot)
        state = bytearray(offer.size)
        for index in range(len(offer.frame_sha256)):
            piece = unsealing.piece(index, (self._folder.snapshot / f"frame-{index}").read_bytes())
            state[index * PIECE_BYTES : index * PIECE_BYTES + len(piece)] = piece
        unsealing.check([memoryview(state)])
        return model_of(state, offer, self.layout)

    # ---- giving

    def _sealed(self, model: GlobalModel) -> tuple[SealedState, SnapshotOffer] | None:
        """The state after the newest closed round, sealed; None if it was not we who opened its sum.

        Rounds that were abandoned after it changed the chain and not the state.

        Raises:
            CorruptState: the model is not the one that we closed the round with.
        """
        number = self._records.newest_closed()
        if self._own is not None and self._own[1].round_number == number:
            return self._own
        close = self.standing.own_close(number)
        if close is None or model.round_number < number:
            return None
        sealed = SealedState.of(self.group_secret, close.ctx, close.chain, state_of(model))
        if sealed.mac != close.state_mac:
            raise CorruptState("the stored model is not the one that this silo closed its last round with")
        place = (close.ctx, number, self._index, close.chain, sealed.mac, sealed.size)
        return sealed, SnapshotOffer(*place, sealed.digests())

    # ---- messages

    def _opened(self, message: Signed) -> tuple[int, SnapshotOffer]:
        index = self.study.roster.index(message.signer)
        key = bytes.fromhex(self.study.roster.silos[index - 1].identity)
        return index, bodies.open_signed(message, SnapshotOffer, key)
