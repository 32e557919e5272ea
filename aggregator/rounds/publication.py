"""What the aggregator itself says of a round: who is in the sum, or that there is none. Stored before it is shown.

The only use of the aggregator's identity key in a round. When a round is published or abandoned is `coordinator`'s
business, and what silos make of it theirs.
"""

from dataclasses import dataclass

from aggregator.rounds.fold import fold
from aggregator.rounds.states import Folding
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.he.params import CiphertextParams
from privacy.signer import Signer
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Abandon, Survivors


@dataclass(frozen=True)
class Publication:
    """Makes, signs and stores what all silos of a study are shown."""

    study: Study
    params: CiphertextParams
    key: Signer
    store: StudyStore

    def sum(self, number: int, state: Folding) -> tuple[Signed, bytes]:
        """Add the frozen uploads and store the sum; the signed list of who is in it, stored too, and its digest H(S).

        Raises:
            ProtocolError: a stored frame holds a word that is not a residue.
            StorageError: the sum cannot be stored.
        """
        store = self.store.round(number)
        first = next(iter(state.uploads.values())).header
        digests = fold(self.params, first.frame_bytes, tuple(state.uploads), store)
        survivors = Survivors(
            ctx=first.ctx,
            round_number=number,
            members=tuple((index, protocol_hash("header", u.signed.body)) for index, u in state.uploads.items()),
            sum_frame_bytes=first.frame_bytes,
            sum_frame_sha256=digests,
            share_set=first.share_set,
        )
        message = bodies.seal(survivors, self.study.roster.aggregator.name, self.key)
        store.put("survivors", message)
        return message, protocol_hash("survivors", message.body)

    def abandonment(self, number: int, reason: str) -> None:
        """Store that a round ended without a sum, and erase what it had. Raises StorageError."""
        message = bodies.seal(Abandon(self.study.digest(), number, reason), self.study.roster.aggregator.name, self.key)
        self.store.round(number).put("abandon", message)
        self.store.round(number).scrub()
