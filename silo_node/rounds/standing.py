"""How a study stands at this silo between rounds: the applied model, the last Close, and a halt.

A round's end is one rename (`GlobalModel.store`); everything a round needed is erased after it. A halt
is a file that only a person removes: each sum that is fetched and answered tells about the key.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.errors import ProtocolError
from privacy.secagg import chain as chains
from privacy.secagg.ranges import Ranges
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Close
from silo_node.connection.client import AggregatorClient
from silo_node.rounds import global_model
from silo_node.rounds.contribution import Learning
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.server_optimizer import OptimizerState
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.state import StudyDirectory


@dataclass(frozen=True)
class Standing:
    """What is durable of a study, and how it moves on."""

    study: Study
    identity: Identity
    folder: StudyDirectory
    runtime: Path
    records: RoundRecords
    client: AggregatorClient

    @property
    def name(self) -> str:
        """This silo's name on the roster."""
        return self.identity.member.name

    def seal(self, body: bodies.Body) -> Signed:
        """A message in this silo's name."""
        return bodies.seal(body, self.name, self.identity.keys.identity)

    def load(self, learner: Learning) -> GlobalModel:
        """The state to go on from: stored, or that of the public initial weights.

        Raises:
            CorruptState: the stored model is damaged.
        """
        if self.folder.model_file.exists():
            model = GlobalModel.load(self.folder.model_file, learner.layout)
            # Stopped between the rename and the ledger, or before the round was erased: it did end.
            self.records.closed(model)
            own = self.own_close(model.round_number)
            if own is not None and RoundVault.is_of(self.runtime, own.ctx):
                self.forget_round()
            # We may have stopped before the aggregator had our Close, and it may wait for it.
            self.send_close(model)
            return model
        weights = learner.initial_vector()
        chain = chains.first(self.study.digest(), global_model.digest(weights))
        return GlobalModel(OptimizerState.initial(weights), Ranges.first(len(learner.layout.tensors)), 0, chain)

    def advance(self, model: GlobalModel) -> GlobalModel:
        """The round whose outcome is in `model` has ended. Raises StorageError, and ProtocolError as `check_end`."""
        self.records.check_end(model)
        if model.outcome is chains.Outcome.ABANDONED and self.own_close(model.round_number):
            # We opened it, were stopped before we applied it, and were then shown another end: one of the two is said.
            self.folder.close_file.unlink()
        model.store(self.folder.model_file)
        self.records.closed(model)
        self.forget_round()
        return model

    def forget_round(self) -> None:
        """Erase what the round that ended needed, also what a stop left of it."""
        StoredUpload.erase(self.folder.upload)
        shutil.rmtree(self.folder.sum, ignore_errors=True)
        self.folder.audit_file.unlink(missing_ok=True)
        RoundVault.clear(self.runtime)

    def keep_close(self, close: Close) -> None:
        """Store our Close before the model moves on, so that a restart can still send it."""
        durable.write(self.folder.close_file, bodies.encode_signed(self.seal(close)))

    def send_close(self, model: GlobalModel) -> None:
        """Send the stored Close, also again; but never before its sum was applied, as the sum may then be erased."""
        stored = self._stored_close()
        if stored is not None and stored[1].round_number <= model.round_number:
            self.client.last_word(stored[0])

    def own_close(self, round_number: int) -> Close | None:
        """What we signed at the end of the last round that we closed; None if we did not open it ourselves."""
        stored = self._stored_close()
        return stored[1] if stored is not None and stored[1].round_number == round_number else None

    def _stored_close(self) -> tuple[Signed, Close] | None:
        if not self.folder.close_file.exists():
            return None
        message = bodies.decode_signed(self.folder.close_file.read_bytes())
        return message, bodies.open_signed(message, Close, self.identity.keys.public_identity)

    def halt(self, round_number: int) -> None:
        """Halt the study durably. Raises StorageError."""
        durable.write(self.folder.halted, f"round {round_number}\n".encode())

    def refuse_if_halted(self) -> None:
        """Nothing starts a halted study again by itself.

        Raises:
            ProtocolError: `study.halted`.
        """
        if self.folder.halted.exists():
            raise ProtocolError(
                "this study was halted when a sum was refused or differed (see the ledger); find out with the other "
                f"hospitals what happened, then remove the file '{self.folder.halted.name}' of the study to go on",
                code="study.halted",
            )
