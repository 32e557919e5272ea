"""This silo among the witnesses: it cosigns the heads of others' ledgers, and keeps its own as others cosigned it.

    round ended  -> its head, signed, with proofs from what each witness holds, goes out
    sum is there -> everybody's head of this round is there: those that extend what was cosigned before are cosigned
    next time    -> its own head comes back with the others' cosignatures, and is kept beside the ledger

No round waits for this or fails with it. A witness that is missing leaves a gap, which the report tells; a head that
went back, or a cosignature that does not hold, is an incident here. What is kept of whom: docs/reference/ledger.md.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from privacy.channel.parties import parties_of
from privacy.errors import CollegiumError, CorruptState, StorageError, Unreachable
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import Party, Shelf, verify
from privacy.ledger.heads.cosigner import state
from privacy.ledger.heads.published import Published
from privacy.ledger.heads.watch import UNPROVEN, Watch
from privacy.ledger.heads.witness import ROLLED_BACK
from privacy.ledger.store import Ledger
from privacy.study import Study
from privacy.wire.heads import ConsistencyProof, CosignedHead, HeadsGiven, HeldHead, ShownHead
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.records import RoundRecords

PAUSE_SECONDS = 0.2

HeadT = TypeVar("HeadT", ShownHead, CosignedHead)


@dataclass
class Cosigning:
    """One silo in one study; `index` is its place on the roster."""

    study: Study
    index: int
    ledger: Ledger
    keys: CosigningKeys
    records: RoundRecords
    client: AggregatorClient

    def __post_init__(self) -> None:
        parties = parties_of(self.study)
        self._own = parties[self.index]
        self._others = {index: party for index, party in enumerate(parties) if index != self.index}
        self._watch = Watch(self.ledger.folder, self.keys)
        self._shelf = Shelf(self.ledger.folder, self._own)
        self._published = Published(self.ledger, self.keys.ed25519)
        self._statement = state(self.keys)

    def exchange(self) -> None:
        """Ask what there is, then give our head and our cosignatures; of an aggregator that does not answer, nothing.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            shown = self.client.exchange_heads(self._given("", ()))
            self._each(shown.heads, self._cosign)
            self._published.head()
            found = ((size, self._published.proof(size)) for size in shown.wanted)
            proofs = tuple(ConsistencyProof(size, nodes) for size, nodes in found if nodes is not None)
            shown = self.client.exchange_heads(self._given(self._published.note(), proofs))
            self._each(shown.cosigned, self._keep)
        except StorageError:
            raise
        except Unreachable:
            return  # a round that needs the aggregator finds out by itself
        except CollegiumError as error:
            self.records.incident_once(error.code, str(error))

    def finish(self, patience: float) -> None:
        """Exchange until every other party has cosigned the ledger as it is now, or for so many seconds.

        Raises:
            StorageError: the disk refuses.
        """
        size, end = self._published.head().size, time.monotonic() + patience
        self.exchange()
        while time.monotonic() + PAUSE_SECONDS < end and not self._cosigned_by_all(size):
            time.sleep(PAUSE_SECONDS)
            self.exchange()
        self.exchange()  # whoever cosigned ours last gave its own head with it

    def _cosigned_by_all(self, size: int) -> bool:
        return all(self._shelf.size(party) >= size for party in self._others.values())

    def _given(self, note: str, proofs: tuple[ConsistencyProof, ...]) -> HeadsGiven:
        cosigned, held = [], []
        for index, party in self._others.items():
            try:
                head, kept = self._watch.held(party.uri, party.identity), self._watch.note(party.uri)
            except CorruptState as error:  # of this party nothing can be given; the others are not to suffer
                self.records.incident_once(error.code, str(error))
                continue
            if head is not None and kept is not None:
                held.append(HeldHead(index, head.size))
                cosigned.append(CosignedHead(index, kept))
        given = tuple(cosigned) if note else ()
        return HeadsGiven(self.study.digest(), self._statement, note, proofs, given, tuple(held))

    def _each(self, heads: tuple[HeadT, ...], take: Callable[[Party, HeadT], None]) -> None:
        """Take those of the others; one that cannot be taken is an incident and keeps no other back."""
        for head in heads:
            party = self._others.get(head.party)
            try:
                if party is not None:
                    take(party, head)
            except CorruptState as error:
                if error.code != UNPROVEN:
                    self.records.incident_once(error.code, str(error))

    def _cosign(self, owner: Party, head: ShownHead) -> None:
        nodes = None if head.proof is None else head.proof.nodes
        self._watch.cosign(owner.uri, owner.identity, head.note, nodes, int(time.time()))

    def _keep(self, witness: Party, head: CosignedHead) -> None:
        found = verify(head.note, head.cosigner, self._own, witness)
        if self._published.root_at(found.checkpoint.size) != found.checkpoint.root:
            raise CorruptState(
                f"{witness.uri.rsplit('/', 1)[-1]} cosigned another ledger of {found.checkpoint.size} entries than the "
                "one here",
                code=ROLLED_BACK,
            )
        self._shelf.keep(head.note, head.cosigner, witness)
