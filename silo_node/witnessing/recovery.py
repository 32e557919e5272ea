"""`collegium-silo ledger recover`: a person gives up the ledger's lost entries and goes on with the older copy.

Lost entries may be charges. So what the study may have spent up to the round that its witnesses know is charged again,
and of every other approved study what is left of its plan; the rounds in question are sat out. Nothing gives it back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from privacy import attribution
from privacy.digest import Json
from privacy.dp.events import to_json
from privacy.errors import ConfigError, PolicyRefused
from privacy.ledger.heads.witness import Charge, Seen, charges, lost
from privacy.ledger.store import Ledger
from privacy.study import Study
from silo_node.approvals.approval import load_approved
from silo_node.approvals.costs import round_event
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.state import StateDirectory, StudyDirectory
from silo_node.witnessing.known_heads import Known


def recover(
    directory: StateDirectory, name: str, by: str, reason: str, runtime: Path, ask: Callable[[str], bool]
) -> None:
    """Explain what is lost and what follows, ask a person, and enter it.

    Args:
        directory: of this silo, whose lock is held.
        name: the study whose start was refused.
        by: who decides.
        reason: why entries are missing.
        runtime: where a round's secrets are.
        ask: shows the explanation and says whether to go on.

    Raises:
        ConfigError: no start was refused, or a text is empty or too long.
        PolicyRefused: the person declined; nothing was changed.
        CorruptState, StorageError: as `Ledger.open` and `Known.load`.
    """
    by, reason = attribution.checked(by, reason)
    identity, folder = directory.identity(), directory.study(name)
    with directory.open_ledger(identity) as ledger:
        if not folder.rolled_back.exists():
            raise ConfigError(
                "no start of this study found the ledger older than its witnesses know it; nothing is to be recovered",
                code="ledger.nothing_to_recover",
            )
        known = Known.load(folder)
        signed, approved = load_approved(folder, identity.study_key)
        recovery = Recovery(ledger, folder, signed, approved.cohort, known)
        if not ask(recovery.explain()):
            raise PolicyRefused("nothing was recovered and nothing was changed", code="policy.declined")
        recovery.give_up(by.strip(), reason.strip(), runtime)


@dataclass(frozen=True)
class Recovery:
    """What is known of a ledger's lost entries, and what is entered in their stead."""

    ledger: Ledger
    folder: StudyDirectory
    study: Study
    cohort: str
    known: Known

    @property
    def missing(self) -> tuple[Seen, ...]:
        """The heads that the ledger does not extend."""
        return lost(self.ledger.entries, self.ledger.head()[1], self.known.heads)

    @property
    def due(self) -> tuple[Charge, ...]:
        """What lost entries may have charged."""
        newest = min(self.known.newest_round, self.study.training.rounds)
        return charges(self.ledger.entries, self.study.digest().hex(), self.cohort, round_event(self.study), newest)

    def explain(self) -> str:
        """What is missing and what follows, in plain words."""
        lines = [f"The ledger here has {self.ledger.head()[0]} entries."]
        lines += [f"  {one.party} knows it with {one.size} entries, root {one.root.hex()[:16]}" for one in self.missing]
        if self.known.opened:
            lines.append(f"  the aggregator has this silo's part of round {self.known.opened}")
        lines.append("Later entries are lost, if no newer copy exists. These charges are entered in their stead:")
        lines += [
            f"  cohort {one.cohort}: {one.event.steps} steps "
            + (f"of round {one.round_number}" if one.round_number else f"left of study {one.study_digest[:16]}")
            for one in self.due
        ]
        lines.append("Approvals, cohorts and lower caps of lost entries are not known: do them again.")
        return "\n".join(lines)

    def give_up(self, by: str, reason: str, runtime: Path) -> None:
        """Enter charges, rounds and the recovery; erase what the last round had. Stopped within, it is done again.

        Raises:
            StorageError: the disk refuses.
        """
        # A survivor list may have been signed in a lost entry: no share is left that could open a second one.
        RoundVault.clear(runtime)
        StoredUpload.erase(self.folder.upload)
        records = RoundRecords(self.ledger, self.study.digest())
        for one in self.due:
            charged = RoundRecords(self.ledger, bytes.fromhex(one.study_digest))
            charged.add("reserved", one.round_number, cohort=one.cohort, event=to_json(one.event))
        for number in range(1, min(self.known.newest_round, self.study.training.rounds + 1) + 1):
            if not records.has("round_opened", number):
                records.add("round_opened", number)
        missing = self.missing
        heads: list[Json] = [{"party": one.party, "size": one.size, "root": one.root.hex()} for one in missing]
        size = max((one.size for one in missing), default=0)
        self.ledger.append("recovered", {"reason": reason, "by": by, "witnesses": heads, "size": size})
        self.folder.rolled_back.unlink(missing_ok=True)
