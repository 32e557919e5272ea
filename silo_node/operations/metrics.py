"""The metrics of a running silo, and whether it is ready."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from privacy.digest import Json
from privacy.ledger.store import Ledger
from privacy.operations import metrics
from privacy.operations.metrics import COUNTER, GAUGE, Metric, Sample
from silo_node.egress.log import EgressLog

SENT = Metric("collegium_sent_bytes_total", COUNTER, "Bytes of messages since the start, by class.", "class")
UNANSWERED = Metric(
    "collegium_unanswered_seconds", GAUGE, "Since the aggregator answers no call; 0 while it does, or none is made."
)
METRICS = (*metrics.EVERYBODY, UNANSWERED, SENT)
"""All of a silo's metrics."""


class Watched:
    """What the endpoint asks of a running silo.

    Args:
        state: its state directory.
        ledger: its ledger.
        egress: the log of what leaves.
        said: what it told of its progress last.
    """

    def __init__(
        self,
        state: Path,
        ledger: Ledger,
        egress: EgressLog,
        said: Callable[[], Mapping[str, Json]],
    ) -> None:
        self._state, self._ledger, self._egress, self._said = state, ledger, egress, said

    def metrics(self) -> str:
        """The text of `/metrics`."""
        return metrics.render(self._samples(datetime.now(UTC)), METRICS)

    def lacking(self) -> Sequence[str]:
        """Why it is not ready."""
        said = self._said()
        if not said:
            return ("the study is not begun yet",)
        if said["no_answer_since"] is not None:
            return (f"no answer of the aggregator since {said['no_answer_since']} ({said['no_answer_code']})",)
        return ()

    def _samples(self, now: datetime) -> Iterable[Sample]:
        said = self._said()
        seconds = _since(said, "since", now)
        yield from metrics.of_machine(self._state)
        yield from metrics.of_phase(said, seconds)
        yield from metrics.of_certificate(self._state, now)
        yield Sample(UNANSWERED, _since(said, "no_answer_since", now) or 0)
        entries = self._ledger.entries
        yield Sample(metrics.LEDGER, len(entries))
        yield Sample(metrics.INCIDENTS, sum(entry.kind == "incident" for entry in entries))
        for name, size in sorted(self._egress.totals.items()):
            yield Sample(SENT, size, name)


def _since(said: Mapping[str, Json], what: str, now: datetime) -> float | None:
    since = said.get(what)
    return (now - datetime.fromisoformat(since)).total_seconds() if isinstance(since, str) else None
