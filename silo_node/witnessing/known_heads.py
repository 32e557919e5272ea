"""What others know of this silo's ledger, and whether it extends that; kept for who has to give up what is lost."""

import json
from dataclasses import dataclass

from privacy import durable
from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState
from privacy.ledger.heads.witness import ROLLED_BACK, Seen, lost
from silo_node.rounds.records import RoundRecords
from silo_node.state import StudyDirectory


@dataclass(frozen=True)
class Known:
    """What the witnesses say: heads of our ledger, and the newest rounds that we closed, may be in, and began."""

    heads: tuple[Seen, ...]
    closed: int
    newest_round: int
    opened: int

    def keep(self, folder: StudyDirectory) -> None:
        """Store it for `ledger recover`. Raises StorageError."""
        heads: list[Json] = [{"party": head.party, "size": head.size, "root": head.root.hex()} for head in self.heads]
        told: dict[str, Json] = {
            "heads": heads,
            "closed": self.closed,
            "newest_round": self.newest_round,
            "opened": self.opened,
        }
        durable.write(folder.rolled_back, canonical_json(told))

    @classmethod
    def load(cls, folder: StudyDirectory) -> "Known":
        """What was stored.

        Raises:
            CorruptState: it is damaged; the next start writes it anew.
        """
        try:
            told = json.loads(folder.rolled_back.read_bytes())
            heads = tuple(Seen(str(h["party"]), int(h["size"]), bytes.fromhex(h["root"])) for h in told["heads"])
            return cls(heads, int(told["closed"]), int(told["newest_round"]), int(told["opened"]))
        except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise CorruptState("what the witnesses said is damaged; run the silo again to ask them anew") from error

    def compare(self, records: RoundRecords, folder: StudyDirectory) -> None:
        """Compare this silo's ledger with it; what was said of a newer one is kept for `ledger recover`.

        Raises:
            CorruptState: `ledger.rolled_back`: it is older than a head that we signed, or another one.
            StorageError: the disk refuses.
        """
        missing = lost(records.entries, records.head()[1], self.heads)
        # A round that we took part in begins with an entry; a recovery adds those that are missing.
        if not missing and (not self.opened or records.has("round_opened", self.opened)):
            return
        self.keep(folder)
        newest = max(missing, key=lambda head: head.size, default=None)
        told = f"{newest.party} knows it with {newest.size}" if newest else f"it does not know round {self.opened}"
        raise CorruptState(
            f"the ledger here has {records.head()[0]} entries and is not the newest: {told}. Entries may be "
            "lost, and with them what was spent on patients, so nothing is trained. If there is a newer copy, stop "
            "and restore it. If not, 'collegium-silo ledger recover --by NAME --reason TEXT' says what follows",
            code=ROLLED_BACK,
        )
