"""How the lines of a study's hospitals to the aggregator were protected, as ledgers have it.

Nothing is entered while a line is mutual TLS. Both ends enter that it is not, so what one of them leaves out the other
may tell; each ledger is shown for itself.
"""

from dataclasses import dataclass

from compliance.evidence import Evidence


@dataclass(frozen=True)
class Transport:
    """From `time` on the ledger of `party` has the line of `silo` as `tls`: `one-way`, or `mutual` again.

    `trusted` is the SHA-256 (hex) of the certificates that vouched for the line, where the ledger has it.
    """

    party: str
    silo: str
    time: str
    tls: str
    trusted: str


def transports(evidence: Evidence, study_digest: str) -> tuple[Transport, ...]:
    """Of all ledgers in turn, oldest first."""
    return tuple(
        Transport(found.party, str(entry.body["silo"]), entry.time, str(entry.body["tls"]), str(entry.body["trusted"]))
        for found in evidence.ledgers
        for entry in found.of_kind("transport")
        if entry.body["study_digest"] == study_digest
    )
