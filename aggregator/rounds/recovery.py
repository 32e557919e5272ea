"""Takes up the rounds of a study from what is stored, exactly where a stopped process was.

A round's state is a function of its stored messages: they are handed to the same transitions in the
order of the protocol. What was stored but not yet in the ledger is entered now.
"""

from aggregator.records import Records
from aggregator.rounds import setup, states, transitions
from aggregator.rounds.round_states import KEPT, RoundStates
from aggregator.rounds.setup import Rules
from aggregator.rounds.states import Agreed, Closed, Folding, State, Unmasked, Upload, Uploading
from aggregator.rounds.transitions import REJECTED
from aggregator.storage.store import RoundStore, StudyStore
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Abandon, Close, Reject, Sign, Unopenable, UploadHeader


class Recovery:
    """Reads the rounds of one study back; `now` is the coordinator's clock."""

    def __init__(self, study: Study, store: StudyStore, records: Records, rules: Rules, now: float) -> None:
        self._study, self._store, self._records, self._rules, self._now = study, store, records, rules, now

    def states(self) -> RoundStates:
        """All rounds that were ever opened, and the one that is open now.

        Read now are the newest and those of which the ledger does not say how they ended; others when they are asked
        for.

        Raises:
            IdentityError, ProtocolError: what is stored is not what was taken in.
            StorageError: the disk refused.
        """
        self._store.clear_torn()
        last, ended = max(1, self._store.last_round()), self._records.ended_rounds()
        found = RoundStates(lambda number: self._round(number, self._store.round(number)))
        for number in range(1, last + 1):
            if number > last - KEPT or number not in ended:
                state = found[number] = self._round(number, self._store.round(number))
                self._store.round(number).keep_sets(states.frozen_sets(state))
                if not isinstance(state, Uploading):
                    self._store.round(number).clear_arriving()
        if self._is_over(last, found[last]):
            found[last + 1] = setup.Advertising()
        return found

    def refused(self) -> int:
        """The newest round that was abandoned because silos refused its sum, if none closed since; else 0."""
        for number in range(self._store.last_round(), 0, -1):
            message = self._store.round(number).get("abandon")
            if message is not None and self._abandonment(message).reason == REJECTED:
                return number
            if message is None and self._store.round(number).get("survivors") is not None:
                return 0
        return 0

    def _abandonment(self, message: Signed) -> Abandon:
        return bodies.open_signed(message, Abandon, bytes.fromhex(self._study.roster.aggregator.identity))

    def _is_over(self, number: int, state: State) -> bool:
        """Whether a round has ended and says so: one that is abandoned but not announced is still to be ended."""
        announced = self._store.round(number).get("abandon") is not None
        return isinstance(state, Closed) or (isinstance(state, setup.Abandoned) and announced)

    def _round(self, number: int, store: RoundStore) -> State:
        abandonment = store.get("abandon")
        if abandonment is not None:
            self._records.ended(number, "abandoned")
            return setup.Abandoned(self._abandonment(abandonment).reason)
        state = self._set_up(store)
        for index, message in sorted(store.uploads()):
            header = bodies.open_signed(message, UploadHeader, self._identity(index))
            state = transitions.uploaded(state, Upload(message, header))
        state = self._arriving(store, state)
        survivors = store.get("survivors")
        if survivors is None or not isinstance(state, Uploading | Folding):
            return state
        frozen = Folding(state.setup, state.uploads)
        survivors_hash = protocol_hash("survivors", survivors.body)
        self._records.survivors(number, survivors_hash, list(frozen.uploads))
        return self._answered(number, store, transitions.published(frozen, survivors, survivors_hash, self._now))

    def _arriving(self, store: RoundStore, state: State) -> State:
        """Begun uploads go on if the round still takes any."""
        if isinstance(state, Uploading):
            for index, message in store.arriving():
                header = bodies.open_signed(message, UploadHeader, self._identity(index))
                state = transitions.begun(state, Upload(message, header))
        return state

    def _set_up(self, store: RoundStore) -> State:
        """U1 and U2 as they were frozen; a set that was not frozen yet goes on filling, or is frozen now if full."""
        advertised = dict(sorted(store.all("advertise")))
        frozen = store.get_set("advertised")
        if frozen is None and len(advertised) < self._rules.silos:
            return setup.Advertising(advertised, self._now if advertised else None)
        advertised = {index: advertised[index] for index in frozen or advertised}
        shared = dict(sorted(store.all("shares")))
        frozen = store.get_set("shared")
        if frozen is None and len(shared) < len(advertised):
            return setup.Sharing(advertised, self._now, shared)
        return transitions.opened(
            setup.Setup(advertised, {index: shared[index] for index in frozen or shared}), self._now
        )

    def _answered(self, number: int, store: RoundStore, state: State) -> State:
        """Hand in the stored answers. Rejects come first: none was taken after t silos had signed."""
        for index, message in sorted(store.all("reject")):
            reject = bodies.open_signed(message, Reject, self._identity(index))
            state = transitions.rejected(state, index, message, reject, self._rules)
        if isinstance(state, setup.Abandoned):
            return state
        for index, message in sorted(store.all("sign")):
            sign = bodies.open_signed(message, Sign, self._identity(index))
            state = transitions.signed(state, index, message, sign, self._rules, self._now)
        state = self._revealed(store, state)
        for index, message in sorted(store.all("unopenable")):
            body = bodies.open_signed(message, Unopenable, self._identity(index))
            state = transitions.unopenable(state, index, body, self._rules)
        if isinstance(state, setup.Abandoned):
            return state
        for index, message in sorted(store.all("close")):
            close = bodies.open_signed(message, Close, self._identity(index))
            state = transitions.closed(state, index, message, close, self._rules)
            if isinstance(state, Closed):
                self._records.ended(number, "closed", close.chain.hex())
        return state

    def _revealed(self, store: RoundStore, state: State) -> State:
        if not isinstance(state, Agreed):
            return state
        unmasks = dict(sorted(store.all("unmask")))
        frozen = store.get_set("unmasked")
        if frozen is None and len(unmasks) < len(state.published.uploads):
            return Agreed(state.published, self._now, unmasks)
        return Unmasked(state.published, {index: unmasks[index] for index in frozen or unmasks})

    def _identity(self, index: int) -> bytes:
        return bytes.fromhex(self._study.roster.silos[index - 1].identity)
