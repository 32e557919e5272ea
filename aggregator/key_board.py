"""M0 at the aggregator: it keeps silos' key requests and passes on the sealed grants.

It can open none of them, and cannot make one that a silo would take: who signed what is checked by
the receiver. A new request of a silo replaces its old one and asks for a new grant.
"""

from aggregator.records import Records
from aggregator.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import bodies
from privacy.wire.messages import Board, KeyGrant, KeyRequest, Phase


class KeyBoard:
    """Requests by silo and grants by receiver, durable before they are shown. Not thread-safe by itself."""

    def __init__(self, study_digest: bytes, store: RoundStore, records: Records) -> None:
        self._digest, self._store, self._records = study_digest, store, records
        self._requests = dict(sorted(store.all("request")))
        self._grants = dict(sorted(store.all("grant")))

    def request(self, index: int, public_key: bytes, message: Signed) -> None:
        """Take the signed request of silo `index`. Raises ProtocolError when it is for another silo or study."""
        request = bodies.open_signed(message, KeyRequest, public_key)
        if request.silo_index != index or request.study_digest != self._digest:
            raise ProtocolError("the key request is for another silo or study", code="key.foreign_request")
        if self._requests.get(index) == message:
            return
        self._store.put(f"request-{index}", message)
        self._requests[index] = message
        self._grants.pop(index, None)
        self._records.key_material(message, "request")

    def grant(self, index: int, public_key: bytes, message: Signed) -> None:
        """Take the signed grant of giver `index`. Raises ProtocolError when nobody asked for it."""
        grant = bodies.open_signed(message, KeyGrant, public_key)
        if grant.giver != index or grant.receiver not in self._requests:
            raise ProtocolError("the key grant answers no request", code="key.foreign_grant")
        self._store.put(f"grant-{grant.receiver}", message)
        self._grants[grant.receiver] = message
        self._records.key_material(message, "grant")

    def reached(self, phase: Phase) -> bool:
        """KEYS_REQUESTED: a request waits for its grant. KEYS_GRANTED: none does."""
        if phase == Phase.KEYS_REQUESTED:
            return any(index not in self._grants for index in self._requests)
        return bool(self._grants) and set(self._grants) == set(self._requests)

    def board(self, phase: Phase) -> Board:
        """The requests without a grant, or all grants."""
        if phase == Phase.KEYS_REQUESTED:
            waiting = tuple(message for index, message in self._requests.items() if index not in self._grants)
            return Board(self.reached(phase), phase, waiting)
        return Board(self.reached(phase), phase, tuple(self._grants.values()))
