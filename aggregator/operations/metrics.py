"""The metrics of a running aggregator."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aggregator.operations.view import View
from aggregator.renewals import waiting
from privacy.ledger.store import Ledger
from privacy.operations import metrics
from privacy.operations.metrics import COUNTER, GAUGE, Metric, Sample

AWAITED = Metric("collegium_silo_awaited", GAUGE, "1 for a silo that the phase waits for, else 0.", "silo")
NEEDED = Metric("collegium_silos_needed", GAUGE, "How many silos a phase needs.")
LEFT = Metric("collegium_phase_seconds_left", GAUGE, "Until the phase ends without those awaited.")
ENDED = Metric("collegium_rounds_ended_total", COUNTER, "Rounds by how they ended.", "outcome")
REFUSED = Metric("collegium_calls_refused_total", COUNTER, "Calls that ended with an error, by its code.", "code")
STATEMENT = Metric("collegium_roster_statement_seconds_left", GAUGE, "Until the roster statement expires, or since.")
RENEWALS = Metric("collegium_renewals_unanswered", GAUGE, "Silos that ask for a new certificate and have no answer.")
METRICS = (*metrics.EVERYBODY, STATEMENT, RENEWALS, AWAITED, NEEDED, LEFT, ENDED, REFUSED)
"""All of an aggregator's metrics."""


class Watched:
    """What the endpoint asks of a running aggregator.

    Args:
        state: its state directory.
        ledger: its ledger.
        look: the newest round, and since when it is in its phase.
        refused: how many calls ended with which error.
        holds_until: when the newest roster statement expires; None without one.
    """

    def __init__(
        self,
        state: Path,
        ledger: Ledger,
        look: Callable[[], tuple[View, datetime]],
        refused: Callable[[], Mapping[str, int]],
        holds_until: Callable[[], datetime | None],
    ) -> None:
        self._state, self._ledger, self._look, self._refused = state, ledger, look, refused
        self._holds_until = holds_until

    def metrics(self) -> str:
        """The text of `/metrics`."""
        return metrics.render(self._samples(datetime.now(UTC)), METRICS)

    def _samples(self, now: datetime) -> Iterable[Sample]:
        seen, since = self._look()
        yield from metrics.of_machine(self._state)
        yield from metrics.of_phase(seen.to_json(), (now - since).total_seconds())
        yield from metrics.of_certificate(self._state, now)
        until = self._holds_until()
        if until is not None:
            yield Sample(STATEMENT, (until - now).total_seconds())
        yield Sample(RENEWALS, sum(not one.answered for one in waiting(self._state)))
        entries = self._ledger.entries
        yield Sample(metrics.LEDGER, len(entries))
        yield Sample(metrics.INCIDENTS, sum(entry.kind == "incident" for entry in entries))
        for name in seen.silos:
            yield Sample(AWAITED, name in seen.awaited, name)
        yield Sample(NEEDED, seen.needed)
        if seen.seconds_left is not None:
            yield Sample(LEFT, seen.seconds_left)
        for outcome in ("closed", "abandoned"):
            yield Sample(ENDED, sum(e.kind == "closed" and e.body["outcome"] == outcome for e in entries), outcome)
        for code, times in sorted(self._refused().items()):
            yield Sample(REFUSED, times, code)
