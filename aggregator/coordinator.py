"""Drives the rounds of one study: verifies, stores durably, then moves the state machine.

All calls are thread-safe; waiting is on one condition. It holds the aggregator's identity key, to sign
survivors, and no other secret. Which call a peer may make is decided before (authorisation); who
the peer is comes from its certificate, and a message counts only if that same party signed it.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aggregator import deadlines, rounds, setup
from aggregator.arriving import Arrivals, Arriving
from aggregator.boards import Boards
from aggregator.fold import fold
from aggregator.key_board import KeyBoard
from aggregator.records import Records
from aggregator.recovery import Recovery
from aggregator.setup import Rules
from aggregator.snapshot_board import SnapshotBoard
from aggregator.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.errors import IdentityError, ProtocolError
from privacy.he.params import CiphertextParams
from privacy.ledger.store import Ledger
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import (
    Abandon,
    Advertise,
    Close,
    KeyGrant,
    KeyRequest,
    Reject,
    Shares,
    Sign,
    Survivors,
    Unmask,
    Unopenable,
)
from privacy.wire.requests import AwaitRequest, Board, FrameRequest, Phase, SumRequest
from privacy.wire.snapshots import SnapshotDownload, SnapshotFrame, SnapshotOffer, SnapshotRequest

Clock = Callable[[], float]

REPLAYED_ROUNDS = 2
"""The ciphertexts of so many of the newest closed rounds are kept for silos that are behind; others take a snapshot."""


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
        key: Ed25519PrivateKey,
        clock: Clock,
        max_upload_bytes: int,
    ) -> None:
        self._study, self._store, self._key, self._clock = study, store, key, clock
        self._digest = study.digest()
        self._params = CiphertextParams.for_study(study.encryption, len(study.roster.silos))
        self._rules = Rules(
            silos=len(study.roster.silos),
            threshold=study.roster.threshold,
            patience=float(study.aggregation.exchange_seconds),
            deadline=float(study.aggregation.round_deadline_seconds),
        )
        self._arrivals = Arrivals(study, self._params, store, max_upload_bytes)
        self._changed = threading.Condition()
        self._records = Records(ledger, self._digest, study.roster.epoch)
        self._keys = KeyBoard(self._digest, store.keys, self._records)
        self._states = Recovery(study, store, self._records, self._rules, clock()).states()
        identities = tuple(bytes.fromhex(silo.identity) for silo in study.roster.silos)
        self._snapshots = SnapshotBoard(
            self._digest, study.roster.threshold, max_upload_bytes, store.snapshot, identities
        )
        self._boards = Boards(store, self._keys, self._snapshots, self._states)
        self._present: set[int] = set()
        self._scrubbed = 0
        self._revoked: frozenset[int] = frozenset()
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
        handlers: dict[str, Callable[[int, bytes, Signed], None]] = {
            bodies.kind_of(KeyRequest): self._keys.request,
            bodies.kind_of(KeyGrant): self._keys.grant,
            bodies.kind_of(Advertise): self._advertise,
            bodies.kind_of(Shares): self._share,
            bodies.kind_of(Sign): self._sign,
            bodies.kind_of(Reject): self._reject,
            bodies.kind_of(Unmask): self._unmask,
            bodies.kind_of(Close): self._close,
            bodies.kind_of(SnapshotRequest): self._snapshots.request,
            bodies.kind_of(SnapshotOffer): self._offer_snapshot,
            bodies.kind_of(Unopenable): self._unopenable,
        }
        if message.kind not in handlers:
            raise ProtocolError("this kind of message is not taken here", code="protocol.unexpected_kind")
        with self._changed:
            handlers[message.kind](index, public_key, message)
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
            state = rounds.check_header(self._open(number), upload)
            advertised = bodies.open_signed(state.setup.advertised[index], Advertise, public_key)
            if advertised.ctx != upload.header.ctx:  # every silo saw what all advertised: this one knew the others'
                raise ProtocolError("this upload is for another context than its keys", code="round.split_view")
            arriving = self._arrivals.begin(upload)
            self._states[number] = rounds.begun(state, upload)
            return arriving

    def finish_upload(self, arriving: Arriving) -> None:
        """An upload counts from here on.

        Raises:
            ProtocolError: it is not complete, or the round moved on meanwhile.
        """
        number = arriving.upload.header.round_number
        with self._changed:
            state = rounds.uploaded(self._open(number), arriving.upload)
            arriving.commit()
            self._move(number, state)

    def wait(self, peer: str, request: AwaitRequest) -> Board:
        """Long poll: the board of a round once it has reached a phase, or as it is after the wait.

        One that is attentive ends also when another silo waits for what any holder can give.
        """
        self._check_study(request.study_digest)
        index = self._study.roster.index(peer)
        with self._changed:
            # A look (no waiting time) leaves the patience alone; a silo that waits for a round starts it.
            if (
                request.wait_milliseconds
                and Phase.KEYS_GRANTED < request.phase <= Phase.ABANDONED
                and request.round_number in self._states
            ):
                self._postpone()
                self._present.add(index)
                state = self._states[request.round_number]
                self._states[request.round_number] = deadlines.awaited(state, self._clock())
                self._changed.notify_all()  # there may be a deadline now
            self._changed.wait_for(
                lambda: self._ending or self._boards.reached(request, index) or self._boards.wanted(request),
                request.wait_milliseconds / 1000,
            )
            return self._boards.board(request, index)

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

    def sum_frames(self, request: SumRequest) -> Iterator[bytes]:
        """The frames of a published sum, in order.

        Raises:
            ProtocolError: unknown study, or no sum is published for the round.
        """
        public = self._public(request.study_digest, request.round_number)
        store = self._store.round(request.round_number)
        frames = len(next(iter(public.uploads.values())).header.frame_bytes)
        return (store.sum_frame(index) for index in range(request.first_frame, frames))

    def upload_frame(self, request: FrameRequest) -> bytes:
        """One frame of a survivor's upload, for the spot audit of a published sum.

        Raises:
            ProtocolError: unknown study, no sum is published, or there is no such frame.
        """
        public = self._public(request.study_digest, request.round_number)
        upload = public.uploads.get(request.silo_index)
        if upload is None or request.frame >= len(upload.header.frame_bytes):
            raise ProtocolError("there is no such frame in the sum of this round", code="sum.no_frame")
        return self._store.round(request.round_number).frame(request.silo_index, request.frame)

    # ---- what the program calls

    def relay(self, statement: Signed, revoked: frozenset[int]) -> None:
        """From now on silos are shown this roster statement, and rounds go on without the silos that it revokes.

        Which silos these are is the caller's to have verified. Statement and sets change together: no silo sees a set
        beside a statement that revokes one of its members.
        """
        with self._changed:
            self._revoked, self._boards.roster_statement = revoked, statement
            self._rules = replace(self._rules, silos=len(self._study.roster.silos) - len(revoked))
            number = max(self._states)
            state = self._states[number]
            if isinstance(state, setup.Advertising | setup.Sharing):
                self._move(number, setup.without(state, revoked, self._rules, self._clock()))

    def work(self) -> None:
        """Fold frozen sets and end what is past its deadline, each at its instant, until `end`."""
        while self._wait_until_due():
            self.step()

    def step(self) -> None:
        """Do what is due now, if anything."""
        with self._changed:
            number = max(self._states)
            self._postpone()
            before = self._states[number]
            state = deadlines.tick(before, self._rules, self._clock())
            if state is not before:
                self._move(number, state)
        if isinstance(state, rounds.Folding):
            self._publish(number, state)
        elif isinstance(state, setup.Abandoned):
            self._abandon(number, state.reason)

    def end(self) -> None:
        """Answer all that wait, now and from now on, and end `work`. May be called by a signal's handler."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def progress(self) -> tuple[int, Phase]:
        """The newest round and its phase."""
        with self._changed:
            number = max(self._states)
            return number, rounds.phase(self._states[number])

    # ---- small messages

    def _advertise(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Advertise, public_key)
        _own(index, body.silo_index)
        if index in self._revoked:  # since this call was let in
            raise IdentityError("this silo is revoked; it takes no part in rounds any more", code="identity.revoked")
        self._postpone()
        state = setup.advertised(self._open(body.round_number), message, body, self._rules, self._clock())
        self._present.add(index)
        self._store.round(body.round_number).put(f"advertise-{index}", message)
        self._move(body.round_number, state)

    def _share(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Shares, public_key)
        _own(index, body.silo_index)
        state = setup.shared(self._open(body.round_number), message, body)
        self._store.round(body.round_number).put(f"shares-{index}", message)
        opened = rounds.opened(state, self._clock()) if isinstance(state, setup.Setup) else state
        self._move(body.round_number, opened)

    def _unmask(self, index: int, public_key: bytes, message: Signed) -> None:
        body = bodies.open_signed(message, Unmask, public_key)
        _own(index, body.silo_index)
        state = rounds.unmasked(self._existing(body.round_number), index, message, body)
        self._store.round(body.round_number).put(f"unmask-{index}", message)
        self._move(body.round_number, state)

    def _sign(self, index: int, public_key: bytes, message: Signed) -> None:
        sign = bodies.open_signed(message, Sign, public_key)
        before = self._existing(sign.round_number)
        state = rounds.signed(before, index, message, sign, self._rules, self._clock())
        self._store.round(sign.round_number).put(f"sign-{index}", message)
        self._move(sign.round_number, state)

    def _reject(self, index: int, public_key: bytes, message: Signed) -> None:
        reject = bodies.open_signed(message, Reject, public_key)
        state = rounds.rejected(self._existing(reject.round_number), index, message, reject, self._rules)
        self._store.round(reject.round_number).put(f"reject-{index}", message)
        self._records.incident(reject.code, f"silo {index} rejected a sum")
        self._move(reject.round_number, state)

    def _close(self, index: int, public_key: bytes, message: Signed) -> None:
        close = bodies.open_signed(message, Close, public_key)
        before = self._existing(close.round_number)
        try:
            state = rounds.closed(before, index, message, close, self._rules)
        except ProtocolError as error:
            self._records.incident(error.code, f"silo {index} closed differently")
            raise
        self._store.round(close.round_number).put(f"close-{index}", message)
        self._move(close.round_number, state)
        if isinstance(state, rounds.Closed):
            if not isinstance(before, rounds.Closed):
                self._records.ended(close.round_number, "closed", close.chain.hex())
                self._states.setdefault(close.round_number + 1, setup.Advertising())
                self._forget_before(close.round_number)
            if len(state.closes) >= self._rules.silos:
                self._store.round(close.round_number).scrub()

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
        state = rounds.unopenable(self._existing(body.round_number), index, body, self._rules)
        self._store.round(body.round_number).put(f"unopenable-{index}", message)
        self._records.incident(body.code, f"silo {index} cannot open a round and names silo {body.culprit}")
        self._move(body.round_number, state)

    # ---- the sum

    def _publish(self, number: int, state: rounds.Folding) -> None:
        """Add the frozen uploads, store the sum, sign who is in it, and only then show both."""
        store = self._store.round(number)
        first = next(iter(state.uploads.values())).header
        digests = fold(self._params, first.frame_bytes, tuple(state.uploads), store)
        survivors = Survivors(
            ctx=first.ctx,
            round_number=number,
            members=tuple((index, protocol_hash("header", u.signed.body)) for index, u in state.uploads.items()),
            sum_frame_bytes=first.frame_bytes,
            sum_frame_sha256=digests,
            share_set=first.share_set,
        )
        message = bodies.seal(survivors, self._study.roster.aggregator.name, self._key)
        survivors_hash = protocol_hash("survivors", message.body)
        store.put("survivors", message)
        with self._changed:
            self._records.survivors(number, survivors_hash, list(state.uploads))
            self._arrivals.end(number)
            self._move(number, rounds.published(state, message, survivors_hash, self._clock()))

    def _abandon(self, number: int, reason: str) -> None:
        message = bodies.seal(Abandon(self._digest, number, reason), self._study.roster.aggregator.name, self._key)
        self._store.round(number).put("abandon", message)
        self._store.round(number).scrub()
        with self._changed:
            self._records.ended(number, "abandoned")
            self._arrivals.end(number)
            self._states[number + 1] = setup.Advertising()
            self._changed.notify_all()

    # ---- the states

    def _public(self, study_digest: bytes, number: int) -> rounds.Published:
        if study_digest != self._digest:
            raise ProtocolError("there is no sum to download for this round", code="sum.not_published")
        with self._changed:
            return self._boards.public(number)

    def _check_study(self, study_digest: bytes) -> None:
        if study_digest != self._digest:
            raise ProtocolError("this aggregator does not serve that study", code="study.unknown")

    def _move(self, number: int, state: rounds.State) -> None:
        """Make a new state the round's: what it freezes is durable before anyone sees it."""
        self._store.round(number).keep_sets(rounds.frozen_sets(state))
        self._states[number] = state
        self._changed.notify_all()

    def _postpone(self) -> None:
        """The study begins when t silos are there, however long that takes; till then its patience starts anew."""
        if max(self._states) == 1 and len(self._present) < self._rules.threshold:
            self._states[1] = deadlines.postponed(self._states[1], self._clock())

    def _wait_until_due(self) -> bool:
        """Whether there is something to do; False once the program ends."""
        with self._changed:
            while not self._ending:
                left = self._seconds_left()
                if left is not None and left <= 0:
                    return True
                self._changed.wait(left)
        return False

    def _seconds_left(self) -> float | None:
        """Until there is something to do without another message; None: nothing ever."""
        state = self._states[max(self._states)]
        if isinstance(state, rounds.Folding | setup.Abandoned):
            return 0.0
        due = deadlines.due_at(state, self._rules)
        return None if due is None else due - self._clock()

    def _open(self, number: int) -> rounds.State:
        if number != max(self._states):
            raise ProtocolError("this round is not open; wait for the one that is", code="round.not_open")
        return self._states[number]

    def _existing(self, number: int) -> rounds.State:
        if number not in self._states:
            raise ProtocolError("this round is not open; wait for the one that is", code="round.not_open")
        return self._states[number]

    def _member(self, peer: str, message: Signed) -> tuple[int, bytes]:
        if message.signer != peer:
            raise ProtocolError("a silo sent a message in another's name", code="protocol.foreign_signer")
        index = self._study.roster.index(peer)
        return index, bytes.fromhex(self._study.roster.silos[index - 1].identity)


def _own(index: int, named: int) -> None:
    if index != named:
        raise ProtocolError("a silo sent a message in another's name", code="protocol.foreign_signer")
