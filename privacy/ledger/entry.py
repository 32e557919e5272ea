"""A ledger entry: one signed fact of a party, of a closed set of kinds, with one canonical line of bytes.

An entry says who (the ledger's origin), what (kind and body), when (UTC, by the party's own clock)
and after what (`previous`, the Merkle root of all earlier entries, so that a signature also stands
for the whole history before it). Bodies hold digests, counts, names of parties and event
parameters; never a patient value, path or UID. This module opens no file and reads no bytes (`line`
does).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState
from privacy.signer import Signer

SIGNATURE_CONTEXT = b"collegium/v1/ledger-entry\x00"
MAX_LINE = 64 * 1024
"""An entry's line is no longer than this many bytes."""

TEXT, COUNT, NUMBER, FLAG, OBJECT, LIST = "text", "count", "number", "flag", "object", "list"

_ROUND = {"study_digest": TEXT, "round": COUNT}
_CHARGE = {**_ROUND, "cohort": TEXT, "event": OBJECT}

KINDS: Mapping[str, Mapping[str, str]] = {
    # written by silos
    "enrolled": {"silo": TEXT, "consortium": TEXT, "certificate_fingerprint": TEXT},
    "cohort": {
        "cohort": TEXT,
        "digest": TEXT,
        "patients": COUNT,
        "images": COUNT,
        "quarantined": OBJECT,
        "profile": TEXT,
        "table_edition": TEXT,
        "overlaps": LIST,
        "patients_commitment": TEXT,
    },
    "approved": {
        "study": TEXT,
        "study_digest": TEXT,
        "cohort": TEXT,
        "roster_code": TEXT,
        "confirmed": LIST,
        "by": TEXT,
        "cap_epsilon": NUMBER,
        "cap_delta": NUMBER,
        "planned_event": OBJECT,
    },
    "refused": {"study_digest": TEXT, "code": TEXT, "reason": TEXT},
    "key_granted": {"study_digest": TEXT, "epoch": COUNT, "key_id": TEXT},
    "reserved": _CHARGE,
    "spent": _CHARGE,
    "survivors_signed": {**_ROUND, "survivors": TEXT},
    "snapshot_taken": {**_ROUND, "chain": TEXT, "giver": TEXT},
    "unopenable": {**_ROUND, "survivors": TEXT, "unmask_set": TEXT, "culprit": COUNT, "code": TEXT},
    "release": {**_ROUND, "what": TEXT, "protected": FLAG},
    "exported": {**_ROUND, "model_digest": TEXT},
    "cohort_closed": {"cohort": TEXT, "by": TEXT, "reason": TEXT},
    "budget_set": {
        "cohort": TEXT,
        "epsilon": NUMBER,
        "delta": NUMBER,
        "reason": TEXT,
        "by": TEXT,
        # the second person's public key and signature in hex, both empty where policy asks for none
        "second": TEXT,
        "second_signature": TEXT,
    },
    "audited": {
        "what": TEXT,
        "claimed_epsilon": NUMBER,
        "lower_bound": NUMBER,
        "confidence": NUMBER,
        "guesses": COUNT,
        "outcome": TEXT,
        "digest": TEXT,
    },
    "stopped": {**_ROUND, "by": TEXT, "reason": TEXT},
    "approval_revoked": {"study": TEXT, "study_digest": TEXT, "by": TEXT, "reason": TEXT},
    "decommissioned": {"destroyed": COUNT, "by": TEXT, "reason": TEXT},
    # written by the aggregator
    "study_published": {"study_digest": TEXT},
    "key_material": {"study_digest": TEXT, "epoch": COUNT, "what": TEXT, "sender": TEXT, "digest": TEXT},
    "survivors": {**_ROUND, "survivors": TEXT, "silos": LIST},
    # written by both
    "round_opened": _ROUND,
    "closed": {**_ROUND, "outcome": TEXT, "chain": TEXT, "silos": LIST},
    "incident": {"code": TEXT, "detail": TEXT},
    "witnessed": {**_ROUND, "heads": LIST},
    "recovered": {"reason": TEXT, "by": TEXT, "witnesses": LIST, "size": COUNT},
    "report_made": {"digest": TEXT, "what": TEXT, "by": TEXT},
    "transport": {"study_digest": TEXT, "silo": TEXT, "tls": TEXT, "trusted": TEXT},
    "software": {"version": TEXT, "code": TEXT, "libraries": OBJECT},
    "log_read": {"what": TEXT, "by": TEXT},
    "key_rotated": {"what": TEXT, "old": TEXT, "new": TEXT, "reason": TEXT},
    "details_erased": {"entry": COUNT, "reason": TEXT, "by": TEXT},
}
"""Every kind of entry and the keys its body must have, no more and no fewer but for `DETAILS`."""
ADDED: Mapping[str, frozenset[str]] = {
    "cohort": frozenset({"overlaps", "patients_commitment"}),
    "closed": frozenset({"silos"}),
}
"""Keys that entries of a kind did not have in an earlier version: all of them are there, or none.

Of `closed` only a silo says who was in the sum: the aggregator has an entry `survivors` for it.
"""
DETAILS = "details"
"""A key that any body may have besides: a commitment (hex) to what lies in the side store, `privacy.ledger.details`."""
UPLOAD_SLOT_MISSED = "upload.slot_missed"
"""Code of a silo's incident: training outlasted the study's slot, and the upload's instant told so."""

_COMMITMENT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        sequence: position in the ledger, from 0.
        time: UTC by the writer's clock, `YYYY-MM-DDThh:mm:ss.ffffffZ`.
        kind: one of `KINDS`.
        body: plain JSON data with exactly the keys of the kind, and `DETAILS` where there are any. Entries with
            equal bodies may share one: it is never changed.
        previous: Merkle root of the entries before this one, hex.
        signature: Ed25519 over all of it and the ledger's origin, hex. Both are empty where only facts were asked for.
    """

    sequence: int
    time: str
    kind: str
    body: Mapping[str, Json]
    previous: str
    signature: str

    @property
    def at(self) -> datetime:
        """The time as an aware UTC datetime."""
        return datetime.fromisoformat(self.time)

    def line(self) -> bytes:
        """The canonical bytes of the entry, without a newline: the leaf of the Merkle tree."""
        return canonical_json({**self._signed_fields(), "signature": self.signature})

    def verify(self, origin: str, key: Ed25519PublicKey) -> None:
        """Check the signature.

        Raises:
            CorruptState: it is not the signature of `key` over this entry in the ledger of `origin`.
        """
        try:
            key.verify(bytes.fromhex(self.signature), _message(origin, self._signed_fields()))
        except InvalidSignature as error:
            raise CorruptState(
                f"ledger entry {self.sequence} was changed or signed by another party", code="ledger.signature"
            ) from error

    def _signed_fields(self) -> dict[str, Json]:
        return {
            "sequence": self.sequence,
            "time": self.time,
            "kind": self.kind,
            "body": dict(self.body),
            "previous": self.previous,
        }


def make(
    sequence: int,
    at: datetime,
    kind: str,
    body: Mapping[str, Json],
    previous: bytes,
    origin: str,
    key: Signer,
) -> Entry:
    """Sign a new entry.

    Raises:
        ValueError: unknown kind, a body that does not fit it, a naive time or an oversized body.
    """
    if at.tzinfo is None:
        raise ValueError("the time of an entry needs a time zone")
    check_body(kind, body)
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    # A round trip through JSON detaches the entry from the caller's objects (and turns tuples into lists).
    plain: dict[str, Json] = json.loads(canonical_json(body))
    unsigned = Entry(sequence, time, kind, plain, previous.hex(), "")
    signature = key.sign(_message(origin, unsigned._signed_fields())).hex()
    entry = Entry(sequence, time, kind, plain, previous.hex(), signature)
    if len(entry.line()) > MAX_LINE:
        raise ValueError("an entry of this size does not belong in a ledger")
    return entry


def check_body(kind: str, body: Mapping[str, Json]) -> None:
    """Check that a body has exactly the keys of its kind, with the right types, and perhaps a commitment.

    Raises:
        ValueError: it has not.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of entry '{kind}'")
    shape = KINDS[kind]
    missing = frozenset(shape.keys() - body.keys())
    if body.keys() - {DETAILS} - shape.keys() or (missing and missing != ADDED.get(kind)):
        raise ValueError(f"an entry '{kind}' has exactly the keys {', '.join(sorted(shape))}")
    for name, wanted in shape.items():
        if name not in missing and not _fits(body[name], wanted):
            raise ValueError(f"'{name}' of an entry '{kind}' is not a {wanted}")
    if DETAILS in body and not _is_commitment(body[DETAILS]):
        raise ValueError(f"'{DETAILS}' of an entry '{kind}' is not a commitment in hex")


def _fits(value: Json, wanted: str) -> bool:
    if wanted == FLAG:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if wanted == COUNT:
        return isinstance(value, int) and value >= 0
    if wanted == NUMBER:
        return isinstance(value, int | float)
    return isinstance(value, {TEXT: str, OBJECT: dict, LIST: list | tuple}[wanted])


def _is_commitment(value: Json) -> bool:
    return isinstance(value, str) and _COMMITMENT.fullmatch(value) is not None


def _message(origin: str, fields: Mapping[str, Json]) -> bytes:
    return SIGNATURE_CONTEXT + canonical_json({"origin": origin, **fields})
