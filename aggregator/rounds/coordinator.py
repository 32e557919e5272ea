"""Drives the rounds of one study: verifies, stores durably, then moves the state machine.

All calls are thread-safe; waiting is on one condition. Which call a peer may make is decided before
(authorisation); who the peer is comes from its certificate, and a message counts only if that same party signed it.
What the aggregator itself signs is `publication`'s.
"""

import threading
from collections.abc import Callable, Iterable, Iterator

from aggregator.boards.key_board import KeyBoard
from aggregator.boards.round_boards import Boards, without_held
from aggregator.boards.snapshot_board import SnapshotBoard
from aggregator.operations.view import View, view
from aggregator.records import Records
from aggregator.rounds import setup, states, transitions
from aggregator.rounds.arriving import Arrivals, Arriving
from aggregator.rounds.course import Course
from aggregator.rounds.intake import Intake
from aggregator.rounds.publication import Publication
from aggregator.rounds.recovery import Recovery
from aggregator.rounds.setup import Rules
from aggregator.rounds.states import Folding, Published
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.he.params import CiphertextParams
from privacy.ledger.store import Ledger
from privacy.signer import Signer
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Advertise
from privacy.wire.requests import AwaitRequest, Board, FrameRequest, Phase, SumRequest
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame

Clock = Callable[[], float]
LOOK_SECONDS = 1.0
"""How often a long poll looks whether its silo is still there."""


class Coordinator:
    """The rounds of one study.

    Args:
        study: the verified study.
        store: where everything is kept; rounds found there are taken up again.
        ledger: the aggregator's own.
        key: the aggregator's identity key, whose public half the study pins.
        clock: seconds, monotonic; only differences matter.
        max_upload_bytes: the most that this machine takes of one silo in one round.

    Raises:
        StudyError, ConfigError: the study's uploads have no length, or are larger than that.
    """

    def __init__(
        self,
        study: Study,
        store: StudyStore,
        ledger: Ledger,
        key: Signer,
        clock: Clock,
        max_upload_bytes: int,
    ) -> None:
        self._study, self._store, self._clock = study, store, clock
        self._digest = study.digest()
        self._params = CiphertextParams.for_study(study.encryption, len(study.roster.silos))
        rules = Rules(
            silos=len(study.roster.silos),
            threshold=study.roster.threshold,
            patience=float(study.aggregation.exchange_seconds),
            deadline=float(study.aggregation.round_deadline_seconds),
        )
        self._publication = Publication(study, self._params, key, store)
        self._arrivals = Arrivals(study, self._params, store, max_upload_bytes)
        self._changed = threading.Condition()
        self._records = Records(ledger, self._digest, study.roster.epoch, clock)
        self._keys = KeyBoard(self._digest, store.keys, self._records)
        recovery = Recovery(study, store, self._records, rules, clock())
        states = recovery.states()
        self._course = Course(states, recovery.refused(), rules, store, clock, self._changed.notify_all)
        identities = tuple(bytes.fromhex(silo.identity) for silo in study.roster.silos)
        self._snapshots = SnapshotBoard(
            self._digest, study.roster.threshold, max_upload_bytes, store.snapshot, identities
        )
        self._boards = Boards(store, self._keys, self._snapshots, states)
        self._intake = Intake(self._course, store, self._keys, self._snapshots, self._boards, self._records, clock)
        self._ending = False

    @property
    def params(self) -> CiphertextParams:
        """The study's ciphertext parameters."""
        return self._params

    # ---- what peers call

    def submit(self, peer: str, message: Signed) -> None:
        """Take a small signed message from the silo `peer`; durable when this returns.

        Raises:
            IdentityError: not signed by that silo.
            ProtocolError: not a message for the present state.
        """
        index, public_key = self._member(peer, message)
        take = self._intake.handler(message.kind)
        with self._changed:
            take(index, public_key, message)
            self._changed.notify_all()

    def begin_upload(self, peer: str, message: Signed) -> Arriving:
        """Check a header before any frame is read; durable and final when this returns.

        Raises:
            IdentityError, ProtocolError: the header is not acceptable.
        """
        index, public_key = self._member(peer, message)
        upload = self._arrivals.opened(message, public_key)
        number = upload.header.round_number
        if upload.header.silo_index != index:
            raise ProtocolError("the header names another silo", code="upload.foreign")
        with self._changed:
            state = transitions.check_header(self._course.open(number), upload)
            advertised = bodies.open_signed(state.setup.advertised[index], Advertise, public_key)
            if advertised.ctx != upload.header.ctx:  # every silo saw what all advertised: this one knew the others'
                raise ProtocolError("this upload is for another context than its keys", code="round.split_view")
            arriving = self._arrivals.begin(upload)
            self._course.states[number] = transitions.begun(state, upload)
            return arriving

    def finish_upload(self, arriving: Arriving) -> None:
        """An upload counts from here on.

        Raises:
            ProtocolError: it is not complete, or the round moved on meanwhile.
        """
        number = arriving.upload.header.round_number
        with self._changed:
            state = transitions.uploaded(self._course.open(number), arriving.upload)
            arriving.commit()
            self._course.move(number, state)

    def wait(self, peer: str, request: AwaitRequest, wanted: Callable[[], bool]) -> Board:
        """Long poll: the board of a round once it has reached a phase, or as it is after the wait.

        One that is attentive ends also when another silo waits for what any holder can give, and each soon after it is
        `wanted` no more: a silo that was killed and started again would otherwise have its old polls beside the new.
        """
        self._check_study(request.study_digest)
        index = self._study.roster.index(peer)
        with self._changed:
            # A look (no waiting time) leaves the patience alone; a silo that waits for a round starts it.
            if (
                request.wait_milliseconds
                and Phase.KEYS_GRANTED < request.phase <= Phase.ABANDONED
                and request.round_number
            ):
                self._course.awaited(request.round_number, index)
            left = request.wait_milliseconds / 1000
            while not self._changed.wait_for(
                lambda: self._ending or self._boards.reached(request, index) or self._boards.wanted(request),
                min(left, LOOK_SECONDS),
            ):
                left -= LOOK_SECONDS
                if left <= 0 or not wanted():
                    break
            board = self._boards.board(request, index)
        return without_held(board, request)

    def take_snapshot_frame(self, frame: SnapshotFrame) -> None:
        """Take a frame of the snapshot that a holder offered; durable when this returns.

        Raises:
            ProtocolError: it is of no offer that stands.
        """
        self._check_study(frame.study_digest)
        with self._changed:
            self._snapshots.frame(frame)
            self._changed.notify_all()

    def snapshot_frames(self, request: SnapshotDownload) -> Iterator[bytes]:
        """The frames of the whole snapshot of a round, in order.

        Raises:
            ProtocolError: unknown study, or there is no such snapshot.
        """
        self._check_study(request.study_digest)
        with self._changed:
            count = self._snapshots.frames(request.round_number)
        return (self._snapshots.read(index) for index in range(request.first_frame, count))

    def sum_frames(self, peer: str, request: SumRequest) -> Iterator[bytes]:
        """The frames of a published sum, in order; that `peer` wants one, having taken those before, is progress.

        Raises:
            ProtocolError: unknown study, or no sum is published for the round.
        """
        public = self._public(request.study_digest, request.round_number)
        frames = len(next(iter(public.uploads.values())).header.frame_bytes)
        return self._wanted(peer, request.round_number, range(request.first_frame, frames))

    def upload_frame(self, peer: str, request: FrameRequest) -> bytes:
        """One frame of a survivor's upload, for the spot audit of a published sum; that `peer` wants it is progress.

        Raises:
            ProtocolError: unknown study, no sum is published, or there is no such frame.
        """
        public = self._public(request.study_digest, request.round_number)
        upload = public.uploads.get(request.silo_index)
        if upload is None or request.frame >= len(upload.header.frame_bytes):
            raise ProtocolError("there is no such frame in the sum of this round", code="sum.no_frame")
        self._progressed(peer, request.round_number)
        return self._store.round(request.round_number).frame(request.silo_index, request.frame)

    # ---- what the program calls

    def relay(self, statement: Signed, revoked: frozenset[int]) -> None:
        """From now on silos are shown this roster statement, and rounds go on without the silos that it revokes.

        Which silos these are is the caller's to have verified. Statement and sets change together: no silo sees a set
        beside a statement that revokes one of its members.
        """
        with self._changed:
            self._boards.roster_statement = statement
            self._course.revoke(revoked)

    def work(self) -> None:
        """Fold frozen sets and end what is past its deadline, each at its instant, until `end`."""
        while self._wait_until_due():
            self.step()

    def step(self) -> None:
        """Do what is due now, if anything."""
        with self._changed:
            number = self._course.newest
            state = self._course.tick()
        if isinstance(state, Folding):
            self._publish(number, state)
        elif isinstance(state, setup.Abandoned):
            self._abandon(number, state.reason)

    def end(self) -> None:
        """Answer all that wait, now and from now on, and end `work`. May be called by a signal's handler."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    @property
    def ending(self) -> bool:
        """Whether `end` was called."""
        return self._ending

    def progress(self) -> tuple[int, Phase]:
        """The newest round and its phase."""
        with self._changed:
            number = self._course.newest
            return number, states.phase(self._course.states[number])

    def view(self) -> View:
        """The newest round, for those who watch."""
        with self._changed:
            course, number = self._course, self._course.newest
            state, left = course.states[number], course.seconds_left()
            return view(self._study, number, state, course.revoked, left, course.refused)

    # ---- the sum

    def _publish(self, number: int, state: Folding) -> None:
        message, survivors_hash = self._publication.sum(number, state)
        with self._changed:
            self._records.survivors(number, survivors_hash, list(state.uploads))
            self._arrivals.end(number)
            self._course.move(number, transitions.published(state, message, survivors_hash, self._clock()))

    def _abandon(self, number: int, reason: str) -> None:
        self._publication.abandonment(number, reason)
        with self._changed:
            self._records.ended(number, "abandoned")
            self._arrivals.end(number)
            self._course.follow(number)

    # ---- the states

    def _public(self, study_digest: bytes, number: int) -> Published:
        if study_digest != self._digest:
            raise ProtocolError("there is no sum to download for this round", code="sum.not_published")
        with self._changed:
            return self._boards.public(number)

    def _wanted(self, peer: str, number: int, frames: Iterable[int]) -> Iterator[bytes]:
        store = self._store.round(number)
        for index in frames:
            self._progressed(peer, number)
            yield store.sum_frame(index)

    def _progressed(self, peer: str, number: int) -> None:
        with self._changed:
            self._course.taken(number, self._study.roster.index(peer))

    def _check_study(self, study_digest: bytes) -> None:
        if study_digest != self._digest:
            raise ProtocolError("this aggregator does not serve that study", code="study.unknown")

    def _wait_until_due(self) -> bool:
        """Whether there is something to do; False once the program ends."""
        with self._changed:
            while not self._ending:
                left = self._course.seconds_left()
                if left is not None and left <= 0:
                    return True
                self._changed.wait(left)
        return False

    def _member(self, peer: str, message: Signed) -> tuple[int, bytes]:
        if message.signer != peer:
            raise ProtocolError("a silo sent a message in another's name", code="protocol.foreign_signer")
        index = self._study.roster.index(peer)
        return index, bytes.fromhex(self._study.roster.silos[index - 1].identity)
