"""What the aggregator writes into its ledger about a study, each fact once."""

import hashlib

from privacy.channel.envelope import Signed
from privacy.digest import Json
from privacy.ledger.store import Ledger


class Records:
    """Entries of one study in the aggregator's ledger. Every method may raise StorageError."""

    def __init__(self, ledger: Ledger, study_digest: bytes, epoch: int) -> None:
        self._ledger, self._digest, self._epoch = ledger, study_digest.hex(), epoch

    def key_material(self, message: Signed, what: str) -> None:
        """A key request or grant was stored; its digest, never its content."""
        self._ledger.append(
            "key_material",
            {
                "study_digest": self._digest,
                "epoch": self._epoch,
                "what": what,
                "sender": message.signer,
                "digest": hashlib.sha256(message.body).hexdigest(),
            },
        )

    def survivors(self, round_number: int, survivors_hash: bytes, silos: list[int]) -> None:
        """Whose uploads are in the sum of a round."""
        members: list[Json] = [*silos]
        self._once("survivors", round_number, survivors=survivors_hash.hex(), silos=members)

    def ended(self, round_number: int, outcome: str, chain: str = "") -> None:
        """A round is over."""
        self._once("closed", round_number, outcome=outcome, chain=chain)

    def ended_rounds(self) -> frozenset[int]:
        """Rounds of which it is entered how they ended."""
        ended = (entry.body for entry in self._ledger.entries if entry.kind == "closed")
        return frozenset(int(str(body["round"])) for body in ended if body["study_digest"] == self._digest)

    def incident(self, code: str, detail: str) -> None:
        """Something that a person should look at."""
        self._ledger.append("incident", {"code": code, "detail": detail})

    def incident_once(self, code: str, detail: str) -> None:
        """The same, but not what the ledger says already."""
        told = {"code": code, "detail": detail}
        if not any(entry.kind == "incident" and entry.body == told for entry in self._ledger.entries):
            self.incident(code, detail)

    def _once(self, kind: str, round_number: int, **more: Json) -> None:
        """Append an entry of a round unless it is there: a process may stop between the store and the ledger."""
        for entry in reversed(self._ledger.entries):
            if entry.kind == kind and (entry.body["study_digest"], entry.body["round"]) == (self._digest, round_number):
                return
        self._ledger.append(kind, {"study_digest": self._digest, "round": round_number, **more})
