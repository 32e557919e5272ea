"""What the aggregator writes into its ledger about a study, each fact once, and of what one silo causes only so much.

A ledger keeps everything for good, on the disk and in memory: a silo that says something new a hundred times a second
would fill both.
"""

import hashlib
import time
from collections.abc import Callable

from privacy.channel.envelope import Signed
from privacy.channel.limits import BUSY
from privacy.digest import Json
from privacy.errors import Unreachable
from privacy.ledger.store import Ledger

AT_ONCE = 32
"""Entries that one silo may cause by key requests and incidents at once ..."""
SECONDS_EACH = 60.0
"""... and one more in so many seconds."""


class Records:
    """Entries of one study in the aggregator's ledger. Every method may raise StorageError."""

    def __init__(
        self, ledger: Ledger, study_digest: bytes, epoch: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger, self._digest, self._epoch, self._clock = ledger, study_digest.hex(), epoch, clock
        self._turns: dict[int, float] = {}

    def make_room(self, silo: int) -> None:
        """Count an entry that a silo is about to cause.

        Raises:
            Unreachable: it caused too many; it waits and tries again.
        """
        if not self._room(silo):
            raise Unreachable("too many new messages of this silo; it waits and tries again", code=BUSY)

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

    def incident(self, silo: int, code: str, detail: str) -> None:
        """Something about a silo that a person should look at, once a study; beyond its share it is left out."""
        told = {"code": code, "detail": detail}
        for entry in reversed(self._ledger.entries):
            if entry.kind == "incident" and entry.body == told:
                return
            if entry.kind == "study_published" and entry.body["study_digest"] == self._digest:
                break
        if self._room(silo):
            self._ledger.append("incident", told)

    def _room(self, silo: int) -> bool:
        now = self._clock()
        turn = max(self._turns.get(silo, float("-inf")), now - AT_ONCE * SECONDS_EACH) + SECONDS_EACH
        if turn > now:
            return False
        self._turns[silo] = turn
        return True

    def _once(self, kind: str, round_number: int, **more: Json) -> None:
        """Append an entry of a round unless it is there: a process may stop between the store and the ledger."""
        for entry in reversed(self._ledger.entries):
            if entry.kind == kind and (entry.body["study_digest"], entry.body["round"]) == (self._digest, round_number):
                return
        self._ledger.append(kind, {"study_digest": self._digest, "round": round_number, **more})
