"""Entries told to a person: who, what, when, outcome and why, a sentence part each, from the body alone.

Every kind has its line in `_TOLD`. Who is the person whom the entry names, or else the party whose program
wrote it. Digests are shortened for the eye; `Entry.line` has them whole. Whatever a text holds, what is told stays on
one line of printable characters: an entry may quote another party.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from privacy.digest import Json
from privacy.ledger.entry import Entry


@dataclass(frozen=True)
class Told:
    """One entry for a person; `why` is empty where the entry gives no reason of its own."""

    who: str
    what: str
    when: str
    outcome: str
    why: str


_PROTOCOL = "as the protocol asks"

# By kind: what, outcome, why. `{name}` is that value of the body.
_TOLD: Mapping[str, tuple[str, str, str]] = {
    "enrolled": ("silo {silo} of consortium {consortium}", "enrolled", "certificate {certificate_fingerprint}"),
    "cohort": ("cohort {cohort}: {patients} patients, {images} images", "opened", "{profile}, table {table_edition}"),
    "cohort_closed": ("cohort {cohort}", "closed for good", "{reason}"),
    "approved": (
        "study {study} may use cohort {cohort}",
        "approved",
        "cap epsilon {cap_epsilon} at delta {cap_delta}; roster {roster_code}",
    ),
    "refused": ("study {study_digest}", "refused", "{code}: {reason}"),
    "key_granted": ("key {key_id} of epoch {epoch}, study {study_digest}", "received", _PROTOCOL),
    "reserved": ("round {round} of study {study_digest}, cohort {cohort}", "charged to the budget", "{event}"),
    "spent": ("round {round} of study {study_digest}, cohort {cohort}", "trained, sealed for sending", "{event}"),
    "survivors_signed": ("survivors {survivors}, round {round} of study {study_digest}", "signed", _PROTOCOL),
    "release": ("{what}, round {round} of study {study_digest}", "released", "with noise: {protected}"),
    "exported": ("model {model_digest}, round {round} of study {study_digest}", "exported", ""),
    "budget_set": (
        "budget of cohort {cohort}: epsilon {epsilon} at delta {delta}",
        "set",
        "{reason}; second person: {second}",
    ),
    "audited": (
        "{what}: epsilon is at least {lower_bound} of {claimed_epsilon} claimed",
        "{outcome}",
        "confidence {confidence}, {guesses} guesses",
    ),
    "study_published": ("study {study_digest}", "published", ""),
    "key_material": ("{what} of {sender}, epoch {epoch}, study {study_digest}", "stored", _PROTOCOL),
    "survivors": ("silos {silos}, round {round} of study {study_digest}", "in the sum", _PROTOCOL),
    "round_opened": ("round {round} of study {study_digest}", "opened", _PROTOCOL),
    "snapshot_taken": ("round {round} of study {study_digest}", "taken over from {giver}", "chain {chain}"),
    "unopenable": ("round {round} of study {study_digest}", "given up", "{code}, made so by silo {culprit}"),
    "closed": ("round {round} of study {study_digest}", "{outcome}", "chain {chain}"),
    "stopped": ("after round {round} of study {study_digest}", "stopped", "{reason}"),
    "approval_revoked": ("study {study}", "approval revoked", "{reason}"),
    "decommissioned": ("this silo, {destroyed} keys", "destroyed", "{reason}"),
    "incident": ("incident {code}", "recorded", "{detail}"),
    "witnessed": ("heads of {heads}, round {round} of study {study_digest}", "cosigned", _PROTOCOL),
    "recovered": (
        "an older copy of the ledger, which others knew with {size} entries",
        "goes on",
        "{reason}; witnesses: {witnesses}",
    ),
    "report_made": ("{what}", "made, digest {digest}", ""),
    "transport": ("line of {silo}, study {study_digest}", "{tls} TLS", "certificates {trusted}"),
    "software": ("Collegium {version}, code {code}", "runs here", "{libraries}"),
    "log_read": ("{what}", "read", ""),
    "key_rotated": ("{what}: {old} by {new}", "replaced", "{reason}"),
    "details_erased": ("details of entry {entry}", "erased", "{reason}"),
}

_DIGESTS = ("digest", "chain", "survivors", "fingerprint", "key_id")


def tell(entry: Entry, origin: str, details: Mapping[str, Json] | None = None) -> Told:
    """The entry of the ledger of `origin`, with its details where they are at hand."""
    words = {name: _word(name, value) for name, value in entry.body.items()}
    # A kind that has no line yet is told in its own words rather than not at all.
    what, outcome, why = _TOLD.get(entry.kind, (", ".join(f"{name} {{{name}}}" for name in words), "recorded", ""))
    person = entry.body.get("by") or (details or {}).get("by")
    extra = ", ".join(f"{name} {_word(name, value)}" for name, value in (details or {}).items() if name != "by")
    return Told(
        who=_line(str(person)) if person else _line(origin.rsplit("/", 1)[-1]),
        what=_line(what.format_map(words)),
        when=f"{entry.time[:10]} {entry.time[11:19]} UTC",
        outcome=_line(outcome.format_map(words)),
        why=_line("; ".join(part for part in (why.format_map(words), extra) if part)),
    )


def _word(name: str, value: Json) -> str:
    match value:
        case str() if name.endswith(_DIGESTS):
            return value[:12]
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{key} {_word(key, item)}" for key, item in value.items())
        case list():
            return ", ".join(_word(name, item) for item in value) or "none"
        case "" | None:
            return "none"
    return str(value)


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
