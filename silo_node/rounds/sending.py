"""Sends a stored upload at its slot, once or again: what the aggregator refuses as late or repeated is no error.

Makes no upload (`contribution` does) and does not wait for what becomes of it.
"""

from dataclasses import dataclass

from privacy.errors import ProtocolError
from privacy.ledger.entry import UPLOAD_SLOT_MISSED
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.progress import Progress
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.rounds.upload_slot import UploadSlot

NOT_TAKEN = ("upload.early", "upload.late", "upload.repeated", "round.not_open")
"""Answers of the aggregator that mean: there already, too late, or too early, as an old copy of it was put back and
the round can only be abandoned."""


@dataclass(frozen=True)
class Sending:
    """How this silo's uploads leave."""

    client: AggregatorClient
    slot: UploadSlot
    records: RoundRecords
    progress: Progress

    def is_frozen(self, number: int) -> bool:
        """Whether the round takes no upload any more: training for it would spend budget for nothing."""
        return self.client.board(number, Phase.SURVIVORS).reached

    def send(self, upload: StoredUpload, number: int, started: float) -> int:
        """Send the upload of round `number` at its slot since `started`; returns the bytes that were sent.

        Raises:
            ProtocolError: the aggregator refuses it for another reason than those of `NOT_TAKEN`.
        """
        if self.slot.seconds and not self.is_frozen(number):
            self.progress.say("phase", number, phase="waiting for the slot")
            if missed := self.slot.wait(started):
                self.records.incident(UPLOAD_SLOT_MISSED, f"round {number}: the upload left {missed} slots later")
        self.progress.say("phase", number, phase="sending")
        try:
            return self.client.upload(upload)
        except ProtocolError as error:
            if error.code not in NOT_TAKEN:
                raise
            return 0
