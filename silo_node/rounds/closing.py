"""How a round closes at this silo: its opened sum becomes the next model, of which the Close tells the others.

The order is that of protocol.md's table of persistence: the Close is stored before the model moves on, and is sent by
`standing` only after that. What was opened is not checked here: `opening` did.
"""

import hashlib
import hmac
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privacy.secagg import chain as chains
from privacy.secagg.derive import group_key
from privacy.secagg.ranges import PublicBound
from privacy.secagg.snapshot import state_mac
from privacy.secagg.survivors import CheckedSurvivors
from privacy.study import Study
from privacy.update import UpdateLayout
from privacy.wire.messages import Close
from silo_node.imaging_errors import imaging_errors
from silo_node.learning import tasks
from silo_node.rounds import server_optimizer
from silo_node.rounds.agreement import Agreement
from silo_node.rounds.contribution import evaluates
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.participation import absent
from silo_node.rounds.progress import Progress
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.snapshot import state_of
from silo_node.rounds.standing import Standing


@dataclass(frozen=True)
class Closing:
    """What a silo does with the sums that it opened."""

    study: Study
    layout: UpdateLayout
    bound: PublicBound
    standing: Standing
    records: RoundRecords
    agreement: Agreement
    group_secret: bytes
    progress: Progress

    def apply(self, model: GlobalModel, sums: NDArray[np.int64], checked: CheckedSurvivors, ctx: bytes) -> GlobalModel:
        """The state after the round, durable, with this silo's Close of it; `model` is the state before.

        Raises:
            StorageError: the disk refused. ProtocolError: the ledger has another end of the round.
        """
        number = model.round_number + 1
        optimizer, ranges = model.optimizer, model.ranges
        if number <= self.study.training.rounds:
            sizes, bits = self.layout.sizes, self.study.encryption.bits
            weights = [self.study.weight(self.study.roster.silos[index - 1].name) for index in checked.members]
            values, saturated = sums[self.layout.model], sums[self.layout.saturated]
            total = ranges.quantiser(self.bound, sizes, bits).decode_sum(values, len(weights))
            optimizer = server_optimizer.step(optimizer, total / sum(weights), self.study.aggregation)
            ranges = ranges.following(self.bound, values, saturated, sizes=sizes, weights=weights, bits=bits)
        chain = chains.following(model.chain, chains.Outcome.CLOSED, checked.survivors_hash)
        applied = GlobalModel(optimizer, ranges, number, chain, members=checked.members)
        self.standing.keep_close(self._close(applied, checked, sums, ctx))
        return self.standing.advance(applied)

    def report(self, applied: GlobalModel, sums: NDArray[np.int64], sent: int) -> None:
        """Tell who watches here how the round went; `sent` bytes were this silo's upload."""
        number = applied.round_number
        saturated = int(sums[self.layout.saturated].sum())
        missing = ",".join(absent(self.study.roster, applied.members))
        silos = len(applied.members)
        self.progress.say("round_closed", number, upload_bytes=sent, saturated=saturated, silos=silos, missing=missing)
        if evaluates(self.study, number):
            with imaging_errors():
                result = tasks.task(self.study).summarise(sums[self.layout.metrics])
            self.progress.say(
                "evaluated",
                number,
                after_round=number - 1,
                loss=result.loss,
                patients=result.patients,
                **result.values,
            )

    def _close(self, model: GlobalModel, checked: CheckedSurvivors, sums: NDArray[np.int64], ctx: bytes) -> Close:
        key = group_key(self.group_secret, ctx, "sum")
        mac = hmac.digest(key, hashlib.sha256(sums.astype("<i8", copy=False).data).digest(), "sha256")
        state = state_mac(self.group_secret, ctx, state_of(model))
        size, root = self.records.head()
        seen = self.agreement.heads()
        return Close(ctx, model.round_number, checked.survivors_hash, model.chain, mac, state, size, root, seen)
