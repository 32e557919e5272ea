"""M0 at the aggregator: it keeps silos' key requests and passes on the sealed grants.

It can open none of them, and cannot make one that a silo would take: who signed what is checked by
the receiver. A new request of a silo replaces its old one and asks for a new grant; of several holders that
answer one request the first counts.
"""

from aggregator.records import Records
from aggregator.storage.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import bodies
from privacy.wire.keys import KeyGrant, KeyRequest
from privacy.wire.requests import Board, Phase
from privacy.wire.sets import key_request_digest


class KeyBoard:
    """Requests by silo and grants by receiver, durable before they are shown. Not thread-safe by itself."""

    def __init__(self, study_digest: bytes, store: RoundStore, records: Records) -> None:
        self._digest, self._store, self._records = study_digest, store, records
        self._requests = dict(sorted(store.all("request")))
        self._grants = dict(sorted(store.all("grant")))

    @property
    def wanted(self) -> bool:
        """Whether a request waits for its grant."""
        return any(index not in self._grants for index in self._requests)

    def request(self, index: int, public_key: bytes, message: Signed) -> None:
        """Take the signed request of silo `index`.

        Raises:
            ProtocolError: it is for another silo or study.
            Unreachable: the silo asked anew too often.
        """
        request = bodies.open_signed(message, KeyRequest, public_key)
        if request.silo_index != index or request.study_digest != self._digest:
            raise ProtocolError("the key request is for another silo or study", code="key.foreign_request")
        if self._requests.get(index) == message:
            return
        self._records.make_room(index)
        # The old grant goes first: stopped in between, the old request is open and may be granted again.
        self._store.drop(f"grant-{index}")
        self._grants.pop(index, None)
        self._store.put(f"request-{index}", message)
        self._requests[index] = message
        self._records.key_material(message, "request")

    def grant(self, index: int, public_key: bytes, message: Signed) -> None:
        """Take the signed grant of giver `index`, unless another holder was quicker.

        Raises:
            ProtocolError: it answers no request that stands.
        """
        grant = bodies.open_signed(message, KeyGrant, public_key)
        request = self._requests.get(grant.receiver)
        if grant.giver != index or request is None or grant.request_hash != key_request_digest(request.body):
            raise ProtocolError("the key grant answers no request", code="key.foreign_grant")
        if grant.receiver in self._grants:
            return
        self._store.put(f"grant-{grant.receiver}", message)
        self._grants[grant.receiver] = message
        self._records.key_material(message, "grant")

    def reached(self, phase: Phase, index: int) -> bool:
        """KEYS_REQUESTED: a request waits for its grant. KEYS_GRANTED: that of silo `index` has one."""
        return self.wanted if phase == Phase.KEYS_REQUESTED else index in self._grants

    def board(self, phase: Phase, index: int) -> Board:
        """The requests without a grant, or the grant to silo `index`."""
        if phase == Phase.KEYS_REQUESTED:
            shown = tuple(message for silo, message in self._requests.items() if silo not in self._grants)
        else:
            shown = (self._grants[index],) if index in self._grants else ()
        return Board(self.reached(phase, index), phase, shown)
