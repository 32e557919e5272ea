"""Makes a silo's upload of a round: evaluate, reserve, train, quantise, encrypt, mask, store.

The order is that of protocol.md's table of persistence: the ledger has the reservation before the
first patient is read, and "spent" before the ciphertext exists outside this process. An upload is made
once; what is stored is sent, also after a restart. A round that may have been trained before a restart is charged.
"""

import hashlib
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from privacy import durable
from privacy.channel.identity import Identity
from privacy.dp.events import to_json
from privacy.errors import StorageError
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.ledger.budgets.budget import BudgetFilter
from privacy.randomness import SecureStream
from privacy.secagg.mac import RoundMac
from privacy.secagg.masked import Prepared, protect
from privacy.secagg.masks import MaskKeys
from privacy.secagg.ranges import PublicBound
from privacy.study import Study
from privacy.update import COUNT_LIMIT, PrivateUpdate, UpdateLayout
from privacy.wire import bodies
from privacy.wire.messages import UploadHeader
from silo_node.approvals.costs import round_event
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.key_exchange import Exchanged
from silo_node.rounds.progress import Progress
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.server_optimizer import Vector
from silo_node.rounds.stored_upload import StoredUpload, UnsignedUpload
from silo_node.state import StudyDirectory

MAY_HAVE_TRAINED = "round.may_have_trained"
"""The incident of a round that is charged because nobody can say that it was not trained."""


ROOM = 3
"""So many uploads a round takes on disk: the upload, the sum of all, and the model's old and new state."""


class Learning(Protocol):
    """What is needed of a learner (`silo_node.learning.learner.Learner`; tests have one without torch)."""

    layout: UpdateLayout

    def initial_vector(self) -> Vector:
        """The public initial weights."""

    def train(self, weights: Vector, round_number: int) -> PrivateUpdate:
        """One round of private training."""

    def evaluate(self, weights: Vector) -> NDArray[np.int64]:
        """Metric counts of the held-out patients."""


@dataclass(frozen=True)
class Contributor:
    """Everything a round's upload is made from."""

    study: Study
    cohort: str
    identity: Identity
    index: int
    folder: StudyDirectory
    records: RoundRecords
    budget: BudgetFilter
    learner: Learning
    keyholder: KeyHolder
    params: CiphertextParams
    processes: int
    bound: PublicBound
    stream: SecureStream
    progress: Progress

    def check_room(self) -> None:
        """Refuse to begin a round whose upload and sum would find no room: it would cost the budget of one.

        Raises:
            StorageError: `storage.full`.
        """
        needed = ROOM * self.params.upload_bytes(self.learner.layout.length)
        try:
            free = shutil.disk_usage(self.folder.root).free
        except OSError as error:
            raise durable.storage_error(error, self.folder.root) from error
        if free < needed:
            raise StorageError(
                f"{free // 2**20} MiB are free where the state directory is, and a round takes {needed // 2**20 + 1}; "
                "free some space, then start again: no round is begun before, and no budget spent",
                code="storage.full",
            )

    def make(
        self, model: GlobalModel, number: int, vault: RoundVault, exchanged: Exchanged, mac: RoundMac
    ) -> StoredUpload:
        """Make and store the upload of round `number`, whose secrets are in `vault`, from the state before it.

        The key exchange is over: `exchanged` has this silo's masks.

        Raises:
            BudgetExceeded, PolicyRefused: before any patient is read.
            StorageError: the disk refused; the budget stays reserved.
        """
        layout = self.learner.layout
        values = np.zeros(layout.length, np.uint16)
        if exchanged.keys is None:
            raise RuntimeError("a silo that took no part in the key exchange makes no upload")
        with self._prepared(layout.length, exchanged.keys) as prepared:
            if evaluates(self.study, number):
                self.progress.say("phase", number, phase="evaluating")
                self.records.add("release", number, what=self._released_metrics(), protected=False)
                values[layout.metrics] = self.learner.evaluate(model.optimizer.released(self.study.aggregation))
            if number <= self.study.training.rounds:
                values[layout.model], saturated = self._train(model, number, vault)
                values[layout.saturated] = np.minimum(saturated, COUNT_LIMIT)
            self.progress.say("phase", number, phase="encrypting")
            made = UnsignedUpload(self.folder.upload)
            for frame in protect(self.keyholder, values, exchanged.keys, mac, self.processes, prepared):
                made.add(frame)
        header = UploadHeader(
            ctx=vault.ctx,
            round_number=number,
            silo_index=self.index,
            frame_bytes=made.frame_bytes,
            frame_sha256=made.frame_sha256,
            seeds_sha256=hashlib.sha256(made.seeds).digest(),
            share_set=exchanged.share_set.digest,
            tag=mac.tag(self.index, made.residues),
        )
        return made.sign(bodies.seal(header, self.identity.member.name, self.identity.keys.identity))

    def charge_if_unsure(self, number: int, ctx: bytes, runtime: Path) -> None:
        """Charge a round that was begun before this start, unless it is certain that no patient was read for it.

        The ledger may be a copy from within the round: its witnesses know that it was opened, and not what followed.
        """
        begun = self.records.has("round_opened", number) and self.records.chain_after(number) is None
        trains = number <= self.study.training.rounds
        if not (begun and trains) or self.records.has("reserved", number):
            return
        if not RoundVault.shows_untrained(runtime, ctx):
            self.records.incident(MAY_HAVE_TRAINED, f"round {number}: begun before a stop, it is sat out and charged")
            self.records.add("reserved", number, cohort=self.cohort, event=to_json(round_event(self.study)))

    def _prepared(self, length: int, keys: MaskKeys) -> AbstractContextManager[Prepared | None]:
        """What can be made while training runs; for a vector of one frame it is not worth a fork."""
        several = self.params.frame_count(length) > 1
        return Prepared(self.keyholder, length, keys, self.processes) if several else nullcontext()

    def _train(
        self, model: GlobalModel, number: int, vault: RoundVault
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """The update as integers, and how many values of each tensor saturated: of the noisy update, as it is sent."""
        event = round_event(self.study)
        left = self.study.training.rounds - number + 1
        self.budget.authorise(
            self.records.entries, self.cohort, event, horizon_steps=left * self.study.training.local_steps
        )
        vault.training_begins()
        self.records.add("reserved", number, cohort=self.cohort, event=to_json(event))
        self.progress.say("phase", number, phase="training")
        update = self.learner.train(model.optimizer.weights, number)
        if update.event != event or update.round_number != number:
            raise RuntimeError("the trainer spent something else than was reserved")
        weighted = update.consume() * self.study.weight(self.identity.member.name)
        quantiser = model.ranges.quantiser(self.bound, self.learner.layout.sizes, self.study.encryption.bits)
        encoded = quantiser.encode(weighted, self.stream)
        self.records.add("spent", number, cohort=self.cohort, event=to_json(event))
        return encoded

    def _released_metrics(self) -> str:
        return f"exact metric counts of held-out patients (split {self.study.evaluation.split}), in the encrypted sum"


def evaluates(study: Study, number: int) -> bool:
    """Whether round `number` carries metrics: the first (of the initial model), the last, and as often as asked."""
    every = study.evaluation.every
    return number in (1, study.training.rounds + 1) or bool(every and (number - 1) % every == 0)
