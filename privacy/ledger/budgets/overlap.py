"""Which cohorts of a ledger have patients in common, as its `cohort` entries state it.

At ingest a silo compares the pseudonyms of the new cohort with those of every earlier one and writes the names of
those that share a patient, or that it cannot compare with, into the entry. What is charged to a cohort counts for each
cohort that overlaps it **directly**, both ways. That bounds every patient's loss: whatever read a patient of a cohort A
was charged to a cohort that holds this patient, which therefore overlaps A. The transitive closure is not needed: a
cohort that overlaps only a cohort that overlaps A holds no patient of A, so that nothing charged to it read one.

An entry of an earlier version, which says nothing of overlaps, overlaps all cohorts before it.
"""

from collections.abc import Iterable

from privacy.ledger.entry import Entry


class Cohorts:
    """The cohorts of a ledger and how they overlap.

    Args:
        entries: the whole ledger, oldest first.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._digests: dict[str, set[str]] = {}
        self._sharing: dict[str, set[str]] = {}
        for entry in entries:
            if entry.kind != "cohort":
                continue
            name, told = str(entry.body["cohort"]), entry.body.get("overlaps")
            for other in tuple(self._digests) if not isinstance(told, list) else map(str, told):
                self._sharing.setdefault(name, set()).add(other)
                self._sharing.setdefault(other, set()).add(name)
            self._digests.setdefault(name, set()).add(str(entry.body["digest"]))

    def __contains__(self, cohort: str) -> bool:
        return cohort in self._digests

    def same(self, cohort: str) -> frozenset[str]:
        """The names under which exactly the patients of `cohort` were ever ingested, itself among them."""
        names, digests = {cohort}, set[str]()
        while True:
            before = len(names) + len(digests)
            digests |= {digest for name in names for digest in self._digests.get(name, ())}
            names |= {name for name, known in self._digests.items() if not known.isdisjoint(digests)}
            if len(names) + len(digests) == before:
                return frozenset(names)

    def overlapping(self, cohort: str) -> frozenset[str]:
        """The names of all cohorts that may hold a patient of `cohort`, itself and the same among them."""
        same = self.same(cohort)
        others = {other for name in same for other in self._sharing.get(name, ())}
        return same.union(*(self.same(other) for other in others))


def same_cohort(entries: Iterable[Entry], cohort: str) -> frozenset[str]:
    """`Cohorts.same` of a ledger's entries."""
    return Cohorts(entries).same(cohort)
