"""The cap of a cohort: set by the hospital, in its ledger, and by nobody else.

Without a `budget_set` entry the hospital's default (silo.yaml) holds. Such an entry sets the cap of its cohort from
then on. Where a second person's consent is asked for, an entry that raises a cap counts only with that person's
signature over the request and over its place in this one ledger (the number of entries before it and their Merkle
root), so that no signature serves twice. Readers verify it again. No study and no message of the network is read here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState
from privacy.ledger.entry import Entry
from privacy.roster import fingerprint

CONTEXT = b"collegium/v1/budget-set\x00"


@dataclass(frozen=True)
class Cap:
    """The most that may ever be spent on a cohort; set by the hospital.

    Raises:
        ValueError: epsilon is not positive and finite, or delta not in (0, 1).
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (0 < self.epsilon < math.inf and 0 < self.delta < 1):
            raise ValueError("a cap has a positive epsilon and a delta between 0 and 1")

    def raises(self, other: "Cap") -> bool:
        """Whether anything that `other` forbids may be allowed by this one."""
        return self.epsilon > other.epsilon or self.delta > other.delta

    def lower(self, other: "Cap") -> "Cap":
        """A cap that keeps both: epsilon falls as delta grows, so the smaller of each does."""
        return Cap(min(self.epsilon, other.epsilon), min(self.delta, other.delta))


@dataclass(frozen=True)
class Request:
    """What a hospital wants a cohort's cap to be, why, and who says so."""

    cohort: str
    cap: Cap
    reason: str
    by: str

    def body(self, second: Ed25519PrivateKey | None, size: int, root: bytes) -> dict[str, Json]:
        """The body of a `budget_set` entry in a ledger of `size` entries with Merkle root `root` (32 bytes)."""
        message = _message(self, size, root.hex())
        return {
            "cohort": self.cohort,
            "epsilon": self.cap.epsilon,
            "delta": self.cap.delta,
            "reason": self.reason,
            "by": self.by,
            "second": second.public_key().public_bytes_raw().hex() if second else "",
            "second_signature": second.sign(message).hex() if second else "",
        }


@dataclass(frozen=True)
class Setting:
    """A `budget_set` entry as read.

    Attributes:
        sequence: its number in the ledger.
        time: as in the entry.
        request: what it asks for.
        second: fingerprint of the key whose signature it has, verified; empty without one.
    """

    sequence: int
    time: str
    request: Request
    second: str


@dataclass(frozen=True)
class InForce:
    """A cap, and the numbers of the entries that would have raised it without the consent that is asked for now."""

    cap: Cap
    ignored: tuple[int, ...]


def settings(entries: Iterable[Entry]) -> tuple[Setting, ...]:
    """All that was ever set, oldest first.

    Raises:
        CorruptState: a cap is none, or a second signature is not that of the key it names over this very entry.
    """
    return tuple(_setting(entry) for entry in entries if entry.kind == "budget_set")


def in_force(entries: Iterable[Entry], names: frozenset[str], default: Cap, second_person: str) -> InForce:
    """The cap of one cohort by itself, whatever it shares patients with.

    Args:
        entries: the whole ledger.
        names: all names of the cohort (`Cohorts.same`).
        default: what holds where nothing was set.
        second_person: fingerprint of the key whose consent a raise needs, or empty. What raised a cap without it does
            not count, nor does a default above a cap that an approval of the cohort recorded: a cap that was once in
            force is then never raised by one person.

    Raises:
        CorruptState: as `settings`; or an approval holds no cap.
    """
    entries = tuple(entries)
    cap = default
    if second_person:
        for entry in entries:
            if entry.kind == "approved" and entry.body["cohort"] in names:
                cap = cap.lower(_cap(entry, "cap_epsilon", "cap_delta"))
    ignored = []
    for setting in settings(entry for entry in entries if entry.body.get("cohort") in names):
        if second_person and setting.request.cap.raises(cap) and setting.second != second_person:
            ignored.append(setting.sequence)
        else:
            cap = setting.request.cap
    return InForce(cap, tuple(ignored))


def _setting(entry: Entry) -> Setting:
    request = Request(
        str(entry.body["cohort"]), _cap(entry, "epsilon", "delta"), str(entry.body["reason"]), str(entry.body["by"])
    )
    key, signature = str(entry.body["second"]), str(entry.body["second_signature"])
    if not key and not signature:
        return Setting(entry.sequence, entry.time, request, "")
    try:
        raw = bytes.fromhex(key)
        message = _message(request, entry.sequence, entry.previous)
        Ed25519PublicKey.from_public_bytes(raw).verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature) as error:
        raise CorruptState(
            f"ledger entry {entry.sequence} sets a budget with a second signature that is not valid; "
            "restore the ledger from a backup",
            code="budget.second_signature",
        ) from error
    return Setting(entry.sequence, entry.time, request, fingerprint(raw))


def _cap(entry: Entry, epsilon: str, delta: str) -> Cap:
    try:
        return Cap(float(str(entry.body[epsilon])), float(str(entry.body[delta])))
    except ValueError as error:
        raise CorruptState(
            f"ledger entry {entry.sequence} holds a cap that is none; restore the ledger from a backup",
            code="budget.not_a_cap",
        ) from error


def _message(request: Request, size: int, root: str) -> bytes:
    return CONTEXT + canonical_json(
        {
            "cohort": request.cohort,
            "epsilon": float(request.cap.epsilon),
            "delta": float(request.cap.delta),
            "reason": request.reason,
            "by": request.by,
            "size": size,
            "root": root,
        }
    )
