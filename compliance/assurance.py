"""What else ledgers show of how far figures can be relied on: the software that ran, and tests by attack.

A silo enters which code and libraries it runs, and each audit of its training code. Neither shows that the entry is
honest, and an audit shows only what it did not find.
"""

from dataclasses import dataclass

from compliance.evidence import Evidence


@dataclass(frozen=True)
class Software:
    """What a party's ledger says that it ran from `time` on; `code` is the digest of the installed files, hex."""

    party: str
    time: str
    version: str
    code: str
    libraries: dict[str, str]


@dataclass(frozen=True)
class Audit:
    """A test by attack, as a hospital's ledger has it.

    Attributes:
        what: which attack on what.
        claimed_epsilon: what must not be exceeded.
        lower_bound: epsilon is at least this, at `confidence`; above the claim it refutes the claim.
        guesses: how many the attack was allowed, fixed beforehand.
        digest: of the audit's own record, hex.
    """

    silo: str
    time: str
    what: str
    claimed_epsilon: float
    lower_bound: float
    confidence: float
    guesses: int
    outcome: str
    digest: str


def software(evidence: Evidence) -> tuple[Software, ...]:
    """Of each party, oldest first."""
    return tuple(
        Software(
            found.party,
            entry.time,
            str(entry.body["version"]),
            str(entry.body["code"]),
            {str(name): str(version) for name, version in _mapping(entry.body["libraries"]).items()},
        )
        for found in evidence.ledgers
        for entry in found.of_kind("software")
    )


def audits(evidence: Evidence) -> tuple[Audit, ...]:
    """Of each hospital, oldest first."""
    return tuple(
        Audit(
            found.party,
            entry.time,
            str(entry.body["what"]),
            float(str(entry.body["claimed_epsilon"])),
            float(str(entry.body["lower_bound"])),
            float(str(entry.body["confidence"])),
            int(str(entry.body["guesses"])),
            str(entry.body["outcome"]),
            str(entry.body["digest"]),
        )
        for found in evidence.silos()
        for entry in found.of_kind("audited")
    )


def _mapping(value: object) -> dict[object, object]:
    return dict(value) if isinstance(value, dict) else {}
