"""Heads of ledgers at the aggregator: what it saw, cosigns, and passes on between silos that witness for each other.

It is a witness itself and lets its own ledger be witnessed. What it passes on it has verified, but nobody has to
believe that: heads, proofs and cosignatures are checked again by who gets them. What it cosigned is durable
(`privacy.ledger.heads.watch`), what it passes on is not: silos give it anew. A head that goes back, or a second one
of one size, is an incident here and refused; nothing of a round depends on it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from aggregator.records import Records
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.channel.parties import AGGREGATOR, parties_of
from privacy.errors import CorruptState, ProtocolError
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import Shelf, verify
from privacy.ledger.heads.cosigner import state, stated
from privacy.ledger.heads.note import read_checkpoint
from privacy.ledger.heads.published import Published
from privacy.ledger.heads.watch import UNPROVEN, Watch
from privacy.ledger.heads.witness import ROLLED_BACK
from privacy.ledger.store import Ledger
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.heads import (
    ConsistencyProof,
    CosignedHead,
    HeadAnswer,
    HeadQuery,
    HeadsGiven,
    HeadsShown,
    ShownHead,
)
from privacy.wire.keys import KeyGrant


class HeadBoard:
    """Answers what silos ask and give about ledgers, for one study. Thread-safe.

    Args:
        study: the verified study.
        store: where the study's Closes and Advertises are.
        ledger: the aggregator's own.
        keys: with which it cosigns, and its identity key.
        records: where incidents go.
        clock: the present, aware.
    """

    def __init__(
        self,
        study: Study,
        store: StudyStore,
        ledger: Ledger,
        keys: CosigningKeys,
        records: Records,
        clock: Callable[[], datetime],
    ) -> None:
        self._study, self._store, self._records, self._clock = study, store, records, clock
        self._keys, self._statement, self._digest = keys, state(keys), study.digest()
        self._parties = parties_of(study)
        self._watch = Watch(ledger.folder, keys)
        self._shelf = Shelf(ledger.folder, self._parties[AGGREGATOR])
        self._published = Published(ledger, keys.ed25519)
        self._lock = threading.Lock()
        self._statements: dict[int, bytes] = {}
        self._heads: dict[int, tuple[str, dict[int, ConsistencyProof]]] = {}
        self._held: dict[int, dict[int, int]] = {}
        self._cosigned: dict[tuple[int, int], str] = {}

    def answer(self, peer: str, query: HeadQuery) -> Signed:
        """What is held of the ledger of the silo `peer`, signed with the nonce of its query.

        Raises:
            ProtocolError: not this study.
        """
        self._check_study(query.study_digest)
        index = self._study.roster.index(peer)
        close, advertise, others = self._store.newest(index, len(self._study.roster.silos))
        with self._lock:
            cosigned = tuple(CosignedHead(head.party, head.note) for head in self._cosigned_for(index))
        answer = HeadAnswer(self._digest, query.nonce, index, close, advertise, others, cosigned, self._announce())
        return bodies.seal(answer, self._study.roster.aggregator.name, self._keys.ed25519)

    def exchange(self, peer: str, given: HeadsGiven) -> HeadsShown:
        """Take what the silo `peer` gives, cosign its head, and show it what others gave.

        Raises:
            ProtocolError: not this study, or a party that is not on its roster.
            CorruptState: `ledger.rolled_back`, `ledger.forked`, `ledger.unproven`, `ledger.proof`: the head is none
                that extends what was cosigned before; what else was given is taken all the same. `ledger.cosigner`:
                the statement does not hold, and nothing is taken.
            StorageError: what is to be cosigned cannot be kept.
        """
        self._check_study(given.study_digest)
        index = self._study.roster.index(peer)
        with self._lock:
            self._take_statement(index, given.cosigner)
            self._held[index] = {head.party: head.size for head in given.held}
            for head in given.cosigned:
                with suppress(CorruptState), self._noting(index, f"a cosignature by silo {index} does not hold"):
                    self._take_cosigned(index, head)
            if given.note:
                with self._noting(index, f"a head of silo {index} is not cosigned"):
                    self._take_head(index, given)
            return HeadsShown(tuple(self._heads_for(index)), tuple(self._cosigned_for(index)), self._wanted(index))

    def _announce(self) -> Signed | None:
        """The steward's announcement in a grant that was taken; all of an epoch have the same."""
        for _, message in self._store.keys.all("grant"):
            giver = self._parties[self._study.roster.index(message.signer)]
            return bodies.open_signed(message, KeyGrant, giver.identity).announce
        return None

    # ---- what a silo gives

    def _take_statement(self, index: int, statement: bytes) -> None:
        if self._statements.get(index) != statement:
            party = self._parties[index]
            stated(statement, party.uri, party.identity)
            self._statements[index] = statement
            # Cosignatures under an earlier key are given anew; until then they would be shown with the wrong statement.
            self._cosigned = {at: note for at, note in self._cosigned.items() if at[1] != index}

    def _take_cosigned(self, witness: int, head: CosignedHead) -> None:
        if not head.party < len(self._parties) or head.party == witness:
            raise ProtocolError("a silo cosigned the ledger of nobody else on the roster", code="protocol.malformed")
        if self._cosigned.get((head.party, witness)) == head.note:
            return
        statement, owner = self._statements[witness], self._parties[head.party]
        found = verify(head.note, statement, owner, self._parties[witness])
        if head.party == AGGREGATOR:
            self._published.head()
            if self._published.root_at(found.checkpoint.size) != found.checkpoint.root:
                raise CorruptState("the aggregator's own ledger lost entries that were cosigned", code=ROLLED_BACK)
            self._shelf.keep(head.note, statement, self._parties[witness])
        self._cosigned[head.party, witness] = head.note

    def _take_head(self, index: int, given: HeadsGiven) -> None:
        party, proofs = self._parties[index], {proof.size: proof for proof in given.proofs}
        held = self._watch.held(party.uri, party.identity)
        proof = None if held is None else proofs.get(held.size)
        nodes = None if proof is None else proof.nodes
        at = int(self._clock().timestamp())
        self._watch.cosign(party.uri, party.identity, given.note, nodes, at)
        self._heads[index] = (given.note, proofs)

    @contextmanager
    def _noting(self, index: int, what: str) -> Iterator[None]:
        """What does not hold is an incident, once, but for a proof that may come later."""
        try:
            yield
        except CorruptState as error:
            if error.code != UNPROVEN:
                self._records.incident(index, error.code, f"{what}: {error}")
            raise

    # ---- what it is shown

    def _heads_for(self, index: int) -> Iterator[ShownHead]:
        held = self._held[index]
        if self._published.head().size:
            nodes = self._published.proof(held.get(AGGREGATOR, 0))
            own = None if nodes is None else ConsistencyProof(held[AGGREGATOR], nodes)
            yield ShownHead(AGGREGATOR, self._published.note(), own)
        for party, (note, proofs) in sorted(self._heads.items()):
            if party != index:
                yield ShownHead(party, note, proofs.get(held.get(party, 0)))

    def _cosigned_for(self, index: int) -> Iterator[CosignedHead]:
        party = self._parties[index]
        try:
            note = self._watch.note(party.uri)
            if note is not None:
                read_checkpoint(note, party.identity)
                yield CosignedHead(AGGREGATOR, note, self._statement)
        except CorruptState as error:
            self._records.incident(index, error.code, f"what was kept of the ledger of silo {index} is damaged")
        for (owner, witness), note in sorted(self._cosigned.items()):
            if owner == index:
                yield CosignedHead(witness, note, self._statements[witness])

    def _wanted(self, index: int) -> tuple[int, ...]:
        sizes = {held[index] for witness, held in self._held.items() if witness != index and index in held}
        party = self._parties[index]
        own = self._watch.held(party.uri, party.identity)
        return tuple(sorted(sizes | ({own.size} if own is not None else set())))

    def _check_study(self, study_digest: bytes) -> None:
        if study_digest != self._digest:
            raise ProtocolError("this aggregator does not serve that study", code="study.unknown")
