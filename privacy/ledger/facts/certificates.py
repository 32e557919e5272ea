"""Which certificate a party holds, in its ledger: at each enrolment, and each time that another takes its place.

The identity key itself is never replaced (the signed study pins it, and the ledger is signed with it); a certificate
is. Whether a certificate is valid is `privacy.channel`'s business.
"""

from privacy.ledger.store import Ledger

CERTIFICATE = "certificate"


def enter(ledger: Ledger, name: str, consortium: str, fingerprint: str) -> None:
    """Make the ledger say that the party `name` holds the certificate of this fingerprint, unless it says so.

    Raises:
        StorageError: the disk refuses.
    """
    held = member_of = None
    for entry in ledger.entries:
        if entry.kind == "enrolled":
            held, member_of = entry.body["certificate_fingerprint"], entry.body["consortium"]
        elif entry.kind == "key_rotated" and entry.body["what"] == CERTIFICATE:
            held = entry.body["new"]
    if held is None or member_of != consortium:
        # The key is named for silos, who were the first to enter it; an aggregator enters its own name.
        body = {"silo": name, "consortium": consortium, "certificate_fingerprint": fingerprint}
        ledger.append("enrolled", body)
    elif held != fingerprint:
        reason = "the consortium issued another certificate to the same identity key"
        ledger.append("key_rotated", {"what": CERTIFICATE, "old": held, "new": fingerprint, "reason": reason})
