"""M1 and M2 of a round: exchange fresh keys and shares with the other silos, before any budget is reserved.

Everything that is sent is stored first, so that a restarted silo sends the same bytes. A silo that
missed the freeze of U1 or U2, or whose secrets are gone, takes no part but follows the round: it
checks the same sets and can open the sum.
"""

from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.errors import ProtocolError
from privacy.secagg import advertise, share_set
from privacy.secagg.masks import MaskKeys
from privacy.secagg.place import Place
from privacy.secagg.round_keys import RoundSecrets, upload_keys
from privacy.secagg.share_set import ShareSet
from privacy.wire import bodies
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.rounds.round_vault import RoundVault
from silo_node.witnessing.seen_heads import SeenHeads

LATE = ("round.late", "round.not_open", "round.repeated")
"""Answers of the aggregator that mean: too late for this round, or there already."""


@dataclass(frozen=True)
class Exchanged:
    """U2 as this silo checked it, and the masks of its upload if it is a member."""

    share_set: ShareSet
    keys: MaskKeys | None


@dataclass(frozen=True)
class KeyExchange:
    """One silo's key exchange of one round."""

    place: Place
    identity: Identity
    client: AggregatorClient
    vault: RoundVault
    roster: RosterWatch
    heads: SeenHeads

    def take_part(self) -> Exchanged:
        """Advertise, share, check both sets, and keep the shares of others.

        Raises:
            RoundEnded: fewer than t silos came.
            CollegiumError: a set that is not in order; the study halts.
            CorruptState: `ledger.rolled_back`: another silo saw a newer ledger of this one.
        """
        secrets = RoundSecrets.generate()
        self.vault.keep_secrets(secrets)
        said = advertise.build(self.place, secrets, self.heads.told())
        own = bodies.seal(said, self._name, self.identity.keys.identity)
        self.vault.keep_message("advertise", own)
        self._submit(own)
        board = self.client.published(self.place.round_number, Phase.ADVERTISED, (own,))
        if self._name not in (message.signer for message in board.messages):
            return self.follow()  # before it is asked who is revoked by now: we hand out no shares
        self.heads.heed(board.messages, self.place.round_number)
        advertised = advertise.check(self.place, board.messages, own, self.roster.revoked(board))
        self.heads.keep(advertised)  # before anybody can train with our shares
        message = bodies.seal(share_set.build(self.place, secrets, advertised), self._name, self.identity.keys.identity)
        self.vault.keep_message("shares", message)
        self._submit(message)
        shared = share_set.check(self.place, self._published(Phase.SHARED, own, message), advertised, message)
        if self.place.silo not in shared.members:
            return self.follow()
        self.heads.answered(advertised, shared.members)
        received = share_set.receive(self.place, shared, secrets)
        self.vault.keep_held(received.held)
        keys = upload_keys(secrets, self.place.ctx, shared.digest, self.place.silo, received.seeds)
        return Exchanged(shared, keys)

    def follow(self) -> Exchanged:
        """Check what the others exchanged, without a part in it (any more).

        Who is revoked matters to those that hand out shares, when they do; a silo may be revoked after that.

        Raises:
            RoundEnded, CollegiumError: as `take_part`.
        """
        own, shares = self.vault.message("advertise"), self.vault.message("shares")
        said = tuple(message for message in (own, shares) if message is not None)
        messages = self._published(Phase.ADVERTISED, *said)
        self.heads.heed(messages, self.place.round_number)
        advertised = advertise.check(self.place, messages, own)
        return Exchanged(share_set.check(self.place, self._published(Phase.SHARED, *said), advertised, shares), None)

    @property
    def _name(self) -> str:
        return self.identity.member.name

    def _submit(self, message: Signed) -> None:
        """Send a message; whether it came in time is seen from the frozen set, as an answer may be lost."""
        try:
            self.client.submit(message)
        except ProtocolError as error:
            if error.code not in LATE:
                raise

    def _published(self, phase: Phase, *said: Signed) -> tuple[Signed, ...]:
        return self.client.published(self.place.round_number, phase, said).messages
