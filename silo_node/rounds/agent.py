"""A silo's way through the rounds of a study, in the order of persistence that the protocol fixes.

    round opened (ledger) -> keys and shares exchanged -> reserved (ledger) -> first patient read -> spent
    (ledger), upload on disk, own secrets erased -> sent -> survivors, MAC and audit checked, signed (ledger)
    -> shares for exactly these survivors chosen, the rest erased -> unmasked -> opened, applied (one rename)
    -> closed (ledger) -> Close sent -> t silos' Closes compared

A silo that comes late, or lost what it had, replays rounds from what the aggregator kept, and from a snapshot where it
kept nothing. It trains none of them. While it waits for others it hands keys and snapshots to those who need them. The
steward, which makes the study's key, hands it to another silo before it says anything of the first round.

Restarted at any point: a round that was opened but has no stored upload is sat out (its budget stays
spent); a stored upload is sent again, the same bytes; a sum is opened once. Rounds 1..R train; round
R+1 sends no update, only the metrics of the final model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from privacy.channel.identity import Identity
from privacy.channel.roster_statement import EXPIRED
from privacy.errors import IdentityError, ProtocolError, Unreachable
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.ledger.budgets.budget import BudgetFilter
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.store import Ledger
from privacy.randomness import SecureStream
from privacy.secagg.mac import RoundMac
from privacy.secagg.place import Place
from privacy.secagg.ranges import public_bound
from privacy.study import Study, context
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient, RoundEnded
from silo_node.operations.stopping import StopRequest
from silo_node.rounds.abandonment import Abandonment
from silo_node.rounds.agreement import Agreement
from silo_node.rounds.closing import Closing
from silo_node.rounds.contribution import Contributor, Learning
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.key_epoch import KeyEpoch
from silo_node.rounds.key_exchange import KeyExchange
from silo_node.rounds.opening import OVERTAKEN, Opening
from silo_node.rounds.progress import Progress
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.sending import Sending
from silo_node.rounds.snapshot import GONE, Snapshots
from silo_node.rounds.standing import Standing
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.rounds.upload_slot import UploadSlot
from silo_node.state import StudyDirectory
from silo_node.witnessing.cosigning import Cosigning
from silo_node.witnessing.seen_heads import SeenHeads
from silo_node.witnessing.witnesses import Witnesses

CAME_TOO_LATE = "round.came_too_late"
"""The incident of a round that went on without this silo, which had begun it and read no patient for it."""


@dataclass
class Agent:
    """One silo in one study. All collaborators are given; nothing is looked up."""

    study: Study
    cohort: str
    identity: Identity
    folder: StudyDirectory
    ledger: Ledger
    budget: BudgetFilter
    client: AggregatorClient
    learner: Learning
    stream: SecureStream
    progress: Progress
    runtime: Path
    roster: RosterWatch
    cosigner: CosigningKeys
    processes: int = 1
    witnesses_required: bool = True
    cosign_patience: float = 2.0
    stop: StopRequest | None = None

    def __post_init__(self) -> None:
        self._digest = self.study.digest()
        self._layout = self.learner.layout
        self._params = CiphertextParams.for_study(self.study.encryption, len(self.study.roster.silos))
        self._params.check_length(self._layout.length)
        self.study.check_length(self._layout.length)
        self._bound = public_bound(self.study.privacy, self.study.training)
        self._index = self.study.roster.index(self.identity.member.name)
        self._records = RoundRecords(self.ledger, self._digest)
        slot = UploadSlot(self.study.aggregation.upload_slot_seconds)
        self._sending = Sending(self.client, slot, self._records, self.progress)
        self._standing = Standing(self.study, self.identity, self.folder, self.runtime, self._records, self.client)
        self._abandonment = Abandonment(self._standing, self._records, self.progress)
        self._agreement = Agreement(self._standing, self._records, self.client)
        self._cosigning = Cosigning(self.study, self._index, self.ledger, self.cosigner, self._records, self.client)
        self._witnesses = Witnesses(self._standing, self._records, self.client, self.witnesses_required)
        self._seen = SeenHeads(self.study.roster, self._index, self.folder, self._records)

    def run(self) -> GlobalModel:
        """Take part until the study is over, or a person wants a stop after a round; returns the state then.

        Raises:
            BudgetExceeded: the cohort's budget does not cover the next round.
            RoundAbandoned: two rounds in a row ended without a sum.
            ProtocolError: the aggregator or a silo broke the protocol; the study halts here.
            IdentityError: this silo or the aggregator is revoked.
            Unreachable: the aggregator did not answer, or no roster statement held, for longer than our patience.
            StorageError: no room for a round; none was begun.
            CorruptState: witnesses know a newer ledger of this silo than the one here.
        """
        self._standing.refuse_if_halted()
        self.roster.refuse_if_revoked()
        self.progress.say("phase", 0, phase="asking witnesses")
        announce = self._witnesses.check()
        self.progress.say("phase", 0, phase="keys", parameters=self._layout.parameters)
        keys = KeyEpoch(
            self.study, self._params, self.identity, self.client, self.folder, self.ledger, self.roster, announce
        )
        self._keys, self._material = keys, keys.obtain()
        self._keyholder = KeyHolder.from_secret(self._params, self._material.secret)
        self._contributor = Contributor(
            study=self.study,
            cohort=self.cohort,
            identity=self.identity,
            index=self._index,
            folder=self.folder,
            records=self._records,
            budget=self.budget,
            learner=self.learner,
            keyholder=self._keyholder,
            params=self._params,
            processes=self.processes,
            bound=self._bound,
            stream=self.stream,
            progress=self.progress,
        )
        self._snapshots = Snapshots(self.study, self._standing, self.client, self._material.group_secret, self._layout)
        self._model = self._standing.load(self.learner)
        self.client.attend(self._attend)
        self._hand_on()
        while self._model.round_number < self.study.training.rounds + 1:
            if self._stopped():
                return self._model
            self._keys.grant_open_requests(self._material)
            self._agree(self._model)
            self._cosigning.exchange()
            self._model = self._round(self._model)
        self._stopped()  # a wish that came with the last round is fulfilled by the end
        self._agree(self._model)
        self._cosigning.finish(self.cosign_patience)
        while self._attend():
            pass  # nobody is left without a key or the model because we were the first to end
        self._standing.forget_round()
        self.progress.say("finished", self._model.round_number)
        return self._model

    def _hand_on(self) -> None:
        """As the steward that made the key, wait until another silo was handed it.

        What it says of a round stays with the aggregator. Put back to before it made the key, it asks for the one that
        others were handed; if nobody was, it makes another, and all who see both stop. The wait costs nothing: no round
        begins without t silos that have the key, and one that began without us shows that others have it.
        """
        if self._model.round_number or self._records.all_of("round_opened"):
            return
        while self._keys.alone and not self._keys.grant_open_requests(self._material):
            self.progress.say("phase", 0, phase="handing on the key")
            if self.client.wait_or_answer(1, Phase.ADVERTISED).reached:
                return

    def _stopped(self) -> bool:
        """Whether a person wants this silo to stop here, between rounds."""
        number = self._model.round_number
        if self.stop is None or not self.stop.heed(self.ledger, self._digest, number):
            return False
        self.progress.say("stopped", number)
        return True

    def _attend(self) -> bool:
        """Do one step for silos that wait for a key or a snapshot; whether there was one to do."""
        granted = self._keys.grant_open_requests(self._material)
        return self._snapshots.give(self._model) or granted

    # ---- one round

    def _agree(self, model: GlobalModel) -> None:
        with self._recorded(model.round_number):
            self._agreement.check(model)

    def _round(self, model: GlobalModel) -> GlobalModel:
        with self._recorded(model.round_number + 1):
            return self._closed_or_abandoned(model)

    @contextmanager
    def _recorded(self, number: int) -> Iterator[None]:
        """What breaks the protocol is an incident in the ledger, and raised; so is a statement that holds no more."""
        try:
            yield
        except (ProtocolError, IdentityError, Unreachable) as error:
            if isinstance(error, Unreachable) and error.code != EXPIRED:
                raise
            self._records.incident(error.code, f"round {number}: {error}")
            raise

    def _closed_or_abandoned(self, model: GlobalModel) -> GlobalModel:
        number = model.round_number + 1
        ctx = context(
            self.study,
            self._material.key_id,
            self._params.digest(),
            model.ranges.bind(self._layout.digest()),
            number,
            model.chain,
        )
        place = Place(self.study.roster, ctx, number, self._index)
        self._contributor.charge_if_unsure(number, ctx, self.runtime)
        vault = RoundVault(self.runtime, ctx)
        mac = RoundMac(self._material.group_secret, ctx, self._params, self._layout.length)
        try:
            return self._contribute_and_open(model, place, vault, mac)
        except RoundEnded:
            pass
        except ProtocolError as error:
            if error.code not in OVERTAKEN:
                raise
            if self.client.wait(number, Phase.CLOSED).phase != Phase.ABANDONED:
                if error.code != GONE:
                    raise
                return self._caught_up(number)
        return self._abandonment.accept(model, place, self.client.wait(number, Phase.ABANDONED).messages)

    def _caught_up(self, number: int) -> GlobalModel:
        """Round `number` is over and no longer kept: go on from the state after it, or after a later one."""
        self.progress.say("phase", number, phase="waiting for a snapshot")
        model = self._snapshots.take(number)
        self._standing.forget_round()
        self.progress.say("phase", model.round_number, phase="snapshot taken")
        return model

    def _contribute_and_open(self, model: GlobalModel, place: Place, vault: RoundVault, mac: RoundMac) -> GlobalModel:
        number, ctx = place.round_number, place.ctx
        exchange = KeyExchange(place, self.identity, self.client, vault, self.roster, self._seen)
        upload = StoredUpload.load(self.folder.upload, ctx, self.identity.keys.public_identity)
        # A round that a recovery of the ledger charged may have been trained: it is sat out.
        known = self._records.chain_after(number) is not None or any(
            self._records.has(kind, number) for kind in ("round_opened", "reserved")
        )
        if upload is None and not known and not self._sending.is_frozen(number):
            self._contributor.check_room()
            self.roster.before(number)
            self._records.add("round_opened", number)
            self.progress.say("phase", number, phase="exchanging keys")
            exchanged = exchange.take_part()
            started = self._sending.slot.clock()
            if exchanged.keys is not None:
                upload = self._contributor.make(model, number, vault, exchanged, mac)
            else:
                self._records.incident(
                    CAME_TOO_LATE, f"round {number}: our keys or shares came too late for the others"
                )
        else:
            exchanged = exchange.follow()
            started = self._sending.slot.clock()
        vault.forget_secrets()
        sent = self._sending.send(upload, number, started) if upload is not None else 0
        self.progress.say("phase", number, phase="waiting", upload_bytes=sent)
        board = self.client.published(number, Phase.SURVIVORS)
        self._cosigning.exchange()
        opening = self._opening(place, vault, mac)
        verified = opening.accept(board, upload, exchanged.share_set)
        opening.reveal(verified.checked)
        self.progress.say("phase", number, phase="opening")
        sums = opening.open(exchanged.share_set, verified)
        closing = self._closing()
        applied = closing.apply(model, sums, verified.checked, ctx)
        self._standing.send_close(applied)
        closing.report(applied, sums, sent)
        return applied

    def _opening(self, place: Place, vault: RoundVault, mac: RoundMac) -> Opening:
        return Opening(
            study=self.study,
            place=place,
            standing=self._standing,
            records=self._records,
            client=self.client,
            vault=vault,
            mac=mac,
            keyholder=self._keyholder,
            group_secret=self._material.group_secret,
            stream=self.stream,
            length=self._layout.length,
            processes=self.processes,
        )

    def _closing(self) -> Closing:
        return Closing(
            study=self.study,
            layout=self._layout,
            bound=self._bound,
            standing=self._standing,
            records=self._records,
            agreement=self._agreement,
            group_secret=self._material.group_secret,
            progress=self.progress,
        )
