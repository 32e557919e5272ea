"""Cohorts that were closed: their hospital lets nothing be trained on them any more, for good.

The ledger's entry is all there is to it. What was charged to a closed cohort goes on counting, for itself and for
every cohort that shares patients with it. Only the name is closed: the patients' images, and a cohort of the same
patients under another name, are not touched. Who may close one is not known here.
"""

from collections.abc import Iterable

from privacy.errors import ConfigError, PolicyRefused
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry
from privacy.ledger.store import Ledger


def closed(entries: Iterable[Entry]) -> frozenset[str]:
    """The names of all cohorts that were closed."""
    return frozenset(str(entry.body["cohort"]) for entry in entries if entry.kind == "cohort_closed")


def check_open(entries: Iterable[Entry], cohort: str) -> None:
    """See that a cohort was not closed.

    Raises:
        PolicyRefused: it was.
    """
    if cohort in closed(entries):
        raise PolicyRefused(
            f"cohort '{cohort}' was closed at this hospital, for good; nothing was read: use another cohort",
            code="cohort.closed",
        )


def close(ledger: Ledger, cohort: str, by: str, reason: str) -> None:
    """Enter that a cohort is closed.

    Raises:
        ConfigError: the ledger has no such cohort. PolicyRefused: it is closed. StorageError: the disk refuses.
    """
    if cohort not in Cohorts(ledger.entries):
        raise ConfigError(f"the ledger has no cohort '{cohort[:40]}'; 'collegium-silo status' names those it has")
    check_open(ledger.entries, cohort)
    ledger.append("cohort_closed", {"cohort": cohort, "by": by, "reason": reason})
