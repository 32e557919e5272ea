"""What a silo writes into its ledger about the rounds of a study, and what it asks of it."""

from collections.abc import Mapping
from itertools import takewhile

from privacy.digest import Json
from privacy.errors import ProtocolError
from privacy.ledger.entry import Entry
from privacy.ledger.store import Ledger
from privacy.secagg.chain import Outcome
from silo_node.rounds.global_model import GlobalModel


class RoundRecords:
    """Entries of one study in this silo's ledger. Every method that writes may raise StorageError."""

    def __init__(self, ledger: Ledger, study_digest: bytes) -> None:
        self._ledger, self._digest = ledger, study_digest.hex()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The whole ledger, which the budget filter reads."""
        return self._ledger.entries

    def head(self) -> tuple[int, bytes]:
        """Size and Merkle root of the ledger."""
        return self._ledger.head()

    def add(self, kind: str, round_number: int, **more: Json) -> None:
        """Append an entry of a round."""
        self._ledger.append(kind, {"study_digest": self._digest, "round": round_number, **more})

    def closed(self, model: GlobalModel) -> None:
        """The round whose state is `model` has ended; entered once, as a silo that lost its folder replays rounds."""
        if self.chain_after(model.round_number) is None:
            silos: list[Json] = [*model.members]
            outcome, chain = model.outcome.value, model.chain.hex()
            self.add("closed", model.round_number, outcome=outcome, chain=chain, silos=silos)

    def check_end(self, model: GlobalModel) -> None:
        """Raises ProtocolError `round.other_history` if the ledger has another end of the round of `model`."""
        if self.chain_after(model.round_number) not in (None, model.chain):
            raise ProtocolError(
                "this round ended otherwise in this silo's own ledger; nothing was taken over, ask the consortium",
                code="round.other_history",
            )

    def snapshot_taken(self, model: GlobalModel, giver: str) -> None:
        """The state after a round was taken over from another silo instead of being computed here."""
        self.add("snapshot_taken", model.round_number, chain=model.chain.hex(), giver=giver)

    def chain_after(self, round_number: int) -> bytes | None:
        """The chain after a round, if this silo knows it."""
        ends = (*self.of("closed", round_number), *self.of("snapshot_taken", round_number))
        return bytes.fromhex(str(ends[0]["chain"])) if ends else None

    def newest_closed(self) -> int:
        """The newest round that closed with a sum, or 0."""
        return max(
            (
                int(str(entry.body["round"]))
                for entry in self._ledger.entries
                if entry.kind in ("closed", "snapshot_taken")
                and entry.body["study_digest"] == self._digest
                and entry.body.get("outcome", Outcome.CLOSED.value) == Outcome.CLOSED.value
            ),
            default=0,
        )

    def incident(self, code: str, detail: str) -> None:
        """Something that a person should look at."""
        self._ledger.append("incident", {"code": code, "detail": detail})

    def incident_once(self, code: str, detail: str) -> None:
        """The same, but not what the ledger says already."""
        told = {"code": code, "detail": detail}
        if not any(entry.kind == "incident" and entry.body == told for entry in self._ledger.entries):
            self.incident(code, detail)

    def abandoned_in_a_row(self) -> int:
        """How many rounds, the newest of them last, ended without a sum one after the other."""
        outcomes = [body["outcome"] for body in self.all_of("closed")]
        return len(list(takewhile(lambda outcome: outcome == Outcome.ABANDONED.value, reversed(outcomes))))

    def has(self, kind: str, round_number: int) -> bool:
        """Whether the round has an entry of this kind."""
        return bool(self.of(kind, round_number))

    def of(self, kind: str, round_number: int) -> tuple[Mapping[str, Json], ...]:
        """Bodies of the round's entries of a kind."""
        return tuple(body for body in self.all_of(kind) if body["round"] == round_number)

    def all_of(self, kind: str) -> tuple[Mapping[str, Json], ...]:
        """Bodies of the study's entries of a kind that belongs to a round, oldest first."""
        return tuple(
            entry.body
            for entry in self._ledger.entries
            if entry.kind == kind and entry.body["study_digest"] == self._digest
        )
