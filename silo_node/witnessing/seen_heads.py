"""What silos see of each other's ledgers in a round that is not over: no charge is forgotten that another can tell of.

    our head, and what we hold of others', goes out with our round keys -> others' heads are durable before our shares
    leave, without which nobody trains -> in its next round each silo reads what the others hold of it, before it trains

A head is held until its silo, shown it, went on to share keys: then its ledger extends it, or it did not look. What is
claimed of our ledger is believed on another silo's signature alone: a lie stops us and names the liar, and a person
decides. The aggregator can hide a round, and cannot have us train in one without t - 1 others that say what they saw.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState, ProtocolError
from privacy.ledger.heads.witness import Seen
from privacy.roster import Roster
from privacy.secagg.advertise import AdvertiseSet
from privacy.wire import bodies
from privacy.wire.limits import MAX_HEADS
from privacy.wire.messages import Advertise, LedgerHead
from silo_node.rounds.records import RoundRecords
from silo_node.state import StudyDirectory
from silo_node.witnessing.known_heads import Known


@dataclass
class SeenHeads:
    """One silo's memory of others' ledgers in one study; `index` is its place on the roster.

    Methods that keep something may raise StorageError.
    """

    roster: Roster
    index: int
    folder: StudyDirectory
    records: RoundRecords
    _held: tuple[LedgerHead, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._held = self._load()

    def told(self) -> tuple[LedgerHead, ...]:
        """What goes out with our round keys: our own head and what we hold of others', ascending."""
        return _ascending((LedgerHead(self.index, *self.records.head()), *self._held))

    def heed(self, messages: Sequence[Signed], round_number: int) -> None:
        """Compare our ledger with what others, in the same round, say that they saw of it.

        Args:
            messages: the published AdvertiseSet of the round. Only signatures are checked: whatever else is wrong
                with a message, what it says of our ledger is heard before that.
            round_number: what is lost may be of any earlier round.

        Raises:
            CollegiumError: a message is not what a silo of the roster signed.
            CorruptState: `ledger.rolled_back`, as `Known.compare`.
        """
        seen: list[Seen] = []
        for message in messages:
            index = self.roster.index(message.signer)
            body = bodies.open_signed(message, Advertise, bytes.fromhex(self._identity(index)))
            if index != self.index:
                own = (head for head in body.heads if head.silo == self.index)
                seen += (Seen(message.signer, head.size, head.root) for head in own)
        Known(tuple(seen), closed=0, newest_round=round_number - 1, opened=0).compare(self.records, self.folder)

    def keep(self, advertised: AdvertiseSet) -> None:
        """Hold the head of each other silo of U1, durably."""
        held = list(self._held)
        for head in _own_heads(advertised):
            if head.silo != self.index and head not in held:
                of_silo = [one for one in held if one.silo == head.silo]
                if len(of_silo) == MAX_HEADS:  # the oldest are those that a silo may have lost
                    held.remove(of_silo[-1])
                held.append(head)
        self._held = tuple(held)
        told: list[Json] = [[self._identity(head.silo), head.size, head.root.hex()] for head in self._held]
        durable.write(self.folder.seen_heads, canonical_json({"heads": told}))

    def answered(self, advertised: AdvertiseSet, members: Collection[int]) -> None:
        """Let go of what silos were shown before they shared: those of U2. Durable with what is kept next."""
        newest = {head.silo: head for head in _own_heads(advertised) if head.silo in members}
        self._held = tuple(head for head in self._held if newest.get(head.silo, head) == head)

    def _identity(self, silo: int) -> str:
        return self.roster.silos[silo - 1].identity

    def _load(self) -> tuple[LedgerHead, ...]:
        if not self.folder.seen_heads.exists():
            return ()
        try:
            told = json.loads(self.folder.seen_heads.read_bytes())["heads"]
            # A ledger is an identity's; the study's next roster may have it in another place, or not.
            places = {silo.identity: index for index, silo in enumerate(self.roster.silos, start=1)}
            read = [
                (one, LedgerHead(places.get(one, self.index), int(size), bytes.fromhex(root)))
                for one, size, root in told
            ]
            return tuple(head for one, head in read if one in places)
        except (ArithmeticError, KeyError, ProtocolError, RecursionError, TypeError, ValueError) as error:
            raise CorruptState(
                f"'{self.folder.seen_heads.name}' of the study is damaged; restore it, or remove it to go on without"
            ) from error


def _own_heads(advertised: AdvertiseSet) -> tuple[LedgerHead, ...]:
    """What each silo of U1 says of its own ledger."""
    return tuple(head for body in advertised.advertised for head in body.heads if head.silo == body.silo_index)


def _ascending(heads: Sequence[LedgerHead]) -> tuple[LedgerHead, ...]:
    return tuple(sorted(heads, key=lambda head: (head.silo, head.size, head.root)))
