"""On start: what the aggregator and, through it, the other silos know of this silo's ledger.

The question has a fresh nonce, so that an answer of an earlier start is no answer. What the aggregator says is
believed where a silo signed it: our own Closes and Advertises, and the heads that others' Closes say they saw. An
aggregator that keeps back the newest of all of these can hide what happened after; it cannot make up a head.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.channel.parties import parties_of
from privacy.errors import CollegiumError, CorruptState, ProtocolError
from privacy.ledger.heads.note import read_checkpoint
from privacy.ledger.heads.witness import Seen
from privacy.wire import bodies
from privacy.wire.heads import HeadAnswer
from privacy.wire.limits import DIGEST_BYTES
from privacy.wire.messages import Advertise, Close
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.agreement import WITNESSED
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.standing import Standing
from silo_node.witnessing.known_heads import Known


@dataclass(frozen=True)
class Witnesses:
    """Asks before anything is trained or signed.

    Args:
        required: refuse to train if the witnesses forgot what they are known to have had.
    """

    standing: Standing
    records: RoundRecords
    client: AggregatorClient
    required: bool

    def check(self) -> Signed | None:
        """Compare our ledger with what others keep of it; what the aggregator has of the epoch's key is returned.

        That is a KeyAnnounce, not checked here, or None if no key was handed on.

        Raises:
            CorruptState: as `Known.compare`.
            ProtocolError: `witness.replayed`: not an answer to this question; `witness.forged`: something in it was not
                signed by whom it names; `witness.forgot`: older than what the aggregator must have.
            Unreachable: no answer.
        """
        known, announce = self._ask()
        folder = self.standing.folder
        known.compare(self.records, folder)
        folder.rolled_back.unlink(missing_ok=True)
        witnessed = max((int(str(body["round"])) for body in self.records.all_of(WITNESSED)), default=0)
        if known.closed < witnessed:
            self._forgot(known.closed, witnessed)
        return announce

    def _forgot(self, closed: int, witnessed: int) -> None:
        told = f"the aggregator knows this silo's ledger up to round {closed} only, and had it up to round {witnessed}"
        if self.required:
            raise ProtocolError(
                f"{told}: it was restored from a backup, or hides something, and cannot vouch that this ledger is the "
                "newest. Ask its operator; if you are sure of this ledger, set witnesses_required: false in silo.yaml",
                code="witness.forgot",
            )
        self.records.incident("witness.forgot", told)

    def _ask(self) -> tuple[Known, Signed | None]:
        nonce = secrets.token_bytes(DIGEST_BYTES)
        message = self.client.ask_head(nonce)
        study, roster = self.standing.study, self.standing.study.roster
        index = roster.index(self.standing.name)
        answer = bodies.open_signed(message, HeadAnswer, bytes.fromhex(roster.aggregator.identity))
        if (answer.nonce, answer.study_digest, answer.silo_index) != (nonce, study.digest(), index):
            raise ProtocolError(
                "the aggregator answered another question about this silo's ledger than was asked",
                code="witness.replayed",
            )
        heads: list[Seen] = []
        closed = opened = newest = 0
        if answer.close is not None:
            close = self._opened(answer.close, Close, index)
            heads.append(Seen(roster.aggregator.name, close.ledger_size, close.ledger_root))
            closed = newest = close.round_number
        if answer.advertise is not None:
            opened = self._opened(answer.advertise, Advertise, index).round_number
        for other in answer.others:
            silo = roster.index(other.signer)
            close = self._opened(other, Close, silo)
            newest = max(newest, close.round_number)
            heads.extend(Seen(other.signer, head.size, head.root) for head in close.witnessed if head.silo == index)
        heads.extend(self._cosigned(answer))
        return Known(tuple(heads), closed, max(newest + 1, opened), opened), answer.announce

    def _cosigned(self, answer: HeadAnswer) -> Iterator[Seen]:
        """Heads that others cosigned; whoever did, our own signature says that they were ours."""
        parties, own = parties_of(self.standing.study), self.standing.identity
        for shown in answer.cosigned:
            try:
                head = read_checkpoint(shown.note, own.keys.public_identity)
                witness = parties[shown.party].uri.rsplit("/", 1)[-1]
            except (CorruptState, IndexError) as error:
                raise ProtocolError(
                    "the aggregator shows a head of this silo's ledger that this silo never signed",
                    code="witness.forged",
                ) from error
            if head.origin == own.member.uri:
                yield Seen(witness, head.size, head.root)

    def _opened(self, message: Signed, kind: type[bodies.BodyT], silo: int) -> bodies.BodyT:
        party = self.standing.study.roster.silos[silo - 1]
        try:
            if message.signer != party.name:
                raise ProtocolError("signed by another silo", code="witness.forged")
            return bodies.open_signed(message, kind, bytes.fromhex(party.identity))
        except CollegiumError as error:
            raise ProtocolError(
                "the aggregator shows something about a ledger that no silo signed", code="witness.forged"
            ) from error
