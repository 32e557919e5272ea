"""How a silo's line to the aggregator is protected, in both ledgers: told whenever it is another than before.

Mutual TLS is what nobody needs to be told. What one-way TLS means for the promises, SECURITY.md says.
"""

from privacy.ledger.store import Ledger

MUTUAL, ONE_WAY = "mutual", "one-way"


def enter(ledger: Ledger, study_digest: str, silo: str, tls: str, trusted: str = "") -> None:
    """Make the ledger say how the line of `silo` in a study is protected, unless it says so.

    Args:
        ledger: the silo's, or the aggregator's.
        study_digest: hex.
        silo: its name.
        tls: `MUTUAL` or `ONE_WAY`.
        trusted: SHA-256 (hex) of the certificates that vouch for the one-way line, where they are known.

    Raises:
        StorageError: the disk refuses.
    """
    body = {"study_digest": study_digest, "silo": silo, "tls": tls, "trusted": trusted}
    last = next((entry.body for entry in reversed(ledger.entries) if _about(entry.kind, entry.body, body)), None)
    if last != body and (last is not None or tls != MUTUAL):
        ledger.append("transport", body)


def _about(kind: str, found: object, body: dict[str, str]) -> bool:
    same = ("study_digest", "silo")
    return kind == "transport" and isinstance(found, dict) and all(found[name] == body[name] for name in same)
