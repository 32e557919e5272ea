"""What the guarantee does not cover: what the ledgers recorded as unprotected, and what no ledger can show.

The list of standing limits belongs to this version of Collegium and shrinks only when the version
does better; it is printed in every report, also when nothing went wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from compliance.evidence import Evidence
from privacy.dp.events import UnprotectedEvent
from privacy.ledger.entry import UPLOAD_SLOT_MISSED


@dataclass(frozen=True)
class Exposure:
    """Something outside the guarantee.

    Attributes:
        title: what it is.
        explanation: what that means and who can see it.
        recorded: how often and where ledgers recorded it, or empty for a standing limit.
    """

    title: str
    explanation: str
    recorded: str


_STANDING = (
    Exposure(
        "More hospitals together with the aggregator than a study tolerates",
        "Masks hide each update within the sum, also from the aggregator together with as many hospitals as section 5 "
        "states for the study. Beyond that number they could open another hospital's single update, and all other "
        "hospitals of a sum together know what is left when they take their own updates away. If the study has "
        "differential privacy, that update carries its hospital's noise and the loss stated here holds for it too. "
        "Exact metrics that travel with it, and updates of a study without differential privacy, they would see bare.",
        "",
    ),
    Exposure(
        "Patients of two hospitals",
        "A patient whose images are at two hospitals is exposed through both: the two losses compose for that person, "
        "and nobody can know who it is. The figures here are per hospital.",
        "",
    ),
    Exposure(
        "A hospital that lies",
        "A hospital that sends a false update can spoil the model, and nothing here detects that. It can also make "
        "rounds end without a usable sum, which spends the others' budget, and in one way of doing so it is not "
        "named. It does not lower the noise that protects another hospital's patients. What a hospital's ledger says "
        "about its own training rests on that hospital running the software unaltered.",
        "",
    ),
    Exposure(
        "Choices made before the study",
        "If settings were tuned on the same patients outside of Collegium, that use is in no ledger. Not shown.",
        "",
    ),
    Exposure(
        "A ledger put back to an older copy",
        "Changes inside a ledger are found. Replacing a hospital's whole ledger by an older copy of itself is found "
        "only by comparing heads: with those that other parties entered, which verifying this report does, and with "
        "those of the last report, so keep this one.",
        "",
    ),
    Exposure(
        "This report itself",
        "It states exact numbers of patients, images and rejected files of each hospital. They are not protected: "
        "handle the report as confidential.",
        "",
    ),
)


def exposures(evidence: Evidence) -> tuple[Exposure, ...]:
    """All of them, the recorded ones first."""
    return (*_untrained(evidence), *_released(evidence), *_instants(evidence), *_started(evidence), *_STANDING)


def _untrained(evidence: Evidence) -> Iterator[Exposure]:
    for silo in evidence.silos():
        steps = rounds = 0
        for charge in silo.charges:
            if isinstance(charge.event, UnprotectedEvent):
                steps, rounds = steps + charge.event.steps, rounds + 1
        if rounds:
            yield Exposure(
                "Training without differential privacy",
                "What was sent out depends on single patients without any limit: the updates, how many of their values "
                "were out of range, and so also the ranges of later rounds. Only sums over the hospitals were opened, "
                "by the hospitals. No later protection undoes it.",
                f"{silo.party}: {rounds} rounds, {steps} steps",
            )


def _released(evidence: Evidence) -> Iterator[Exposure]:
    found: dict[str, dict[str, int]] = {}
    for silo in evidence.silos():
        for entry in silo.of_kind("release"):
            if not entry.body["protected"]:
                counts = found.setdefault(str(entry.body["what"]), {})
                counts[silo.party] = counts.get(silo.party, 0) + 1
    for what, counts in found.items():
        yield Exposure(
            f"Released without noise: {what}",
            "Exact figures that depend on the patients they were computed on, who are not protected against whoever "
            "learns these figures. Only the sum over the hospitals is opened, by the hospitals.",
            _times(counts),
        )


def _instants(evidence: Evidence) -> Iterator[Exposure]:
    """Uploads that leave when training ends; a study without its file may be one of these."""
    slots = [found.study.aggregation.upload_slot_seconds for found in evidence.studies]
    if not slots or not all(slots):
        yield Exposure(
            "Instants of messages",
            "When a hospital uploads can depend on how long its training took, and so faintly on how many patients "
            "were drawn. The aggregator and the network see it. Sizes and numbers of messages are fixed by the study; "
            "with aggregation.upload_slot_seconds above 0 instants are too.",
            "",
        )
    missed = {
        silo.party: count
        for silo in evidence.silos()
        if (count := sum(entry.body["code"] == UPLOAD_SLOT_MISSED for entry in silo.of_kind("incident")))
    }
    if missed:
        yield Exposure(
            "Uploads that missed their slot",
            "Training took longer than the slot of the study, and the upload left at the next: the aggregator and the "
            "network saw that this round's training was a long one. A longer slot would have hidden it.",
            _times(missed),
        )


def _started(evidence: Evidence) -> Iterator[Exposure]:
    """Public weights that a study started from."""
    for found in evidence.studies:
        start = found.study.model.pretrained
        if start is not None:
            yield Exposure(
                f"What study '{found.study.name}' started from",
                f"Its training started from public weights, the file with the SHA-256 {start.sha256}. Whoever the data "
                "was of that these were made of is not covered by any budget here: the figures are about patients of "
                "the hospitals' cohorts alone.",
                "",
            )


def _times(counts: dict[str, int]) -> str:
    return ", ".join(f"{party}: {count} time{'' if count == 1 else 's'}" for party, count in counts.items())
