"""The small signed messages of silos: each is verified, stored durably, and then moves its round. Not thread-safe.

Uploads come by `arriving`, heads of ledgers by `head_board`. Whether the peer may call at all was decided before.
"""

from collections.abc import Callable

from aggregator.boards.key_board import KeyBoard
from aggregator.boards.round_boards import Boards
from aggregator.boards.snapshot_board import SnapshotBoard
from aggregator.records import Records
from aggregator.rounds import setup, transitions
from aggregator.rounds.course import Course
from aggregator.rounds.states import Closed
from aggregator.rounds.transitions import EARLY
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import IdentityError, ProtocolError
from privacy.wire import bodies
from privacy.wire.keys import KeyGrant, KeyRequest
from privacy.wire.messages import Advertise, Close, Reject, Shares, Sign, Unmask, Unopenable
from privacy.wire.snapshots import SnapshotOffer, SnapshotRequest

REPLAYED_ROUNDS = 2
"""The ciphertexts of so many of the newest closed rounds are kept for silos that are behind; others take a snapshot."""


class Intake:
    """Takes every message that is not an upload.

    Args:
        course: the rounds.
        store: where messages are kept.
        keys, snapshots, boards: of the same study.
        records: the aggregator's ledger.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        course: Course,
        store: StudyStore,
        keys: KeyBoard,
        snapshots: SnapshotBoard,
        boards: Boards,
        records: Records,
        clock: Callable[[], float],
    ) -> None:
        self._course, self._store, self._records, self._clock = course, store, records, clock
        self._snapshots, self._boards = snapshots, boards
        self._scrubbed = 0
        self._handlers: dict[str, Callable[[int, bytes, Signed], None]] = {
            bodies.kind_of(KeyRequest): keys.request,
            bodies.kind_of(KeyGrant): keys.grant,
            bodies.kind_of(Advertise): self._advertise,
            bodies.kind_of(Shares): self._share,
            bodies.kind_of(Sign): self._sign,
            bodies.kind_of(Reject): self._reject,
            bodies.kind_of(Unmask): self._unmask,
            bodies.kind_of(Close): self._close,
            bodies.kind_of(SnapshotRequest): snapshots.request,
            bodies.kind_of(SnapshotOffer): self._offer_snapshot,
            bodies.kind_of(Unopenable): self._unopenable,
        }

    def handler(self, kind: str) -> Callable[[int, bytes, Signed], None]:
        """What takes a message of a kind, given the roster index and identity key of its silo; durable when it returns.

        Raises:
            ProtocolError: no message of this kind is taken here.
        """
        if kind not in self._handlers:
            raise ProtocolError("this kind of message is not taken here", code="protocol.unexpected_kind")
        return self._handlers[kind]

    def _advertise(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Advertise, public_key)
        _own(index, body.silo_index)
        if index in self._course.revoked:  # since this call was let in
            raise IdentityError("this silo is revoked; it takes no part in rounds any more", code="identity.revoked")
        self._course.postpone()
        state = setup.advertised(self._course.open(body.round_number), message, body, self._course.rules, self._clock())
        self._course.here(index)
        self._keep(body.round_number, f"advertise-{index}", message)
        self._course.move(body.round_number, state)

    def _share(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Shares, public_key)
        _own(index, body.silo_index)
        state = setup.shared(self._course.open(body.round_number), message, body)
        self._keep(body.round_number, f"shares-{index}", message)
        opened = transitions.opened(state, self._clock()) if isinstance(state, setup.Setup) else state
        self._course.move(body.round_number, opened)

    def _unmask(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Unmask, public_key)
        _own(index, body.silo_index)
        state = transitions.unmasked(self._course.existing(body.round_number), index, message, body)
        self._keep(body.round_number, f"unmask-{index}", message)
        self._course.move(body.round_number, state)

    def _sign(self, index: int, public_key: bytes, message: Signed) -> None:
        sign = bodies.open_signed(message, Sign, public_key)
        before = self._course.existing(sign.round_number)
        state = transitions.signed(before, index, message, sign, self._course.rules, self._clock())
        self._keep(sign.round_number, f"sign-{index}", message)
        self._course.move(sign.round_number, state)

    def _reject(self, index: int, public_key: bytes, message: Signed) -> None:
        reject = bodies.open_signed(message, Reject, public_key)
        state = transitions.rejected(
            self._course.existing(reject.round_number), index, message, reject, self._course.rules
        )
        self._keep(reject.round_number, f"reject-{index}", message)
        self._records.incident(index, reject.code, f"silo {index} rejected the sum of round {reject.round_number}")
        self._course.move(reject.round_number, state)

    def _close(self, index: int, public_key: bytes, message: Signed) -> None:
        close = bodies.open_signed(message, Close, public_key)
        before = self._course.existing(close.round_number)
        try:
            state = transitions.closed(before, index, message, close, self._course.rules)
        except ProtocolError as error:
            if error.code != EARLY:  # which it says again and again when an old copy of ours was put back
                told = f"silo {index} closed round {close.round_number} differently"
                self._records.incident(index, error.code, told)
            raise
        self._keep(close.round_number, f"close-{index}", message)
        ends = isinstance(state, Closed) and not isinstance(before, Closed)
        if ends:  # before silos see it: where the ledger refuses, the silo sends its Close again
            self._records.ended(close.round_number, "closed", close.chain.hex())
        self._course.move(close.round_number, state)
        if isinstance(state, Closed):
            if ends:
                self._course.follow(close.round_number)
                self._forget_before(close.round_number)
            if len(state.closes) >= self._course.rules.silos:
                self._store.round(close.round_number).scrub()

    def _keep(self, number: int, name: str, message: Signed) -> None:
        """Store a message of a round, unless it is there: a silo says it again while it waits."""
        store = self._store.round(number)
        if store.get(name) != message:
            store.put(name, message)

    def _offer_snapshot(self, index: int, public_key: bytes, message: Signed) -> None:
        newest = self._boards.newest_closed()
        self._snapshots.offer(index, public_key, message, newest, self._boards.closes(newest))

    def _forget_before(self, newest: int) -> None:
        """Drop what is too old to be replayed, and the snapshot from which it would have to be."""
        oldest = newest - REPLAYED_ROUNDS + 1
        for number in range(self._scrubbed + 1, oldest):
            self._store.round(number).scrub()
        self._scrubbed = max(self._scrubbed, oldest - 1)
        self._snapshots.drop_before(oldest - 1)

    def _unopenable(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Unopenable, public_key)
        state = transitions.unopenable(self._course.existing(body.round_number), index, body, self._course.rules)
        self._keep(body.round_number, f"unopenable-{index}", message)
        told = f"silo {index} cannot open round {body.round_number} and names silo {body.culprit}"
        self._records.incident(index, body.code, told)
        self._course.move(body.round_number, state)


def _own(index: int, named: int) -> None:
    if index != named:
        raise ProtocolError("a silo sent a message in another's name", code="protocol.foreign_signer")
