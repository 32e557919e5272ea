"""A party that was decommissioned: its keys were destroyed for good, and its ledger, whose last entry says so, is kept.

That a key is missing is known from the files, and why from the ledger alone. Nothing here destroys anything.
"""

from datetime import datetime
from pathlib import Path

from privacy.channel.enrolment import IDENTITY_FOLDER
from privacy.channel.identity import CONSORTIUM_FILE, IDENTITY_FILE
from privacy.errors import IdentityError
from privacy.ledger.reader import read

LEDGER_FOLDER = "ledger"


def decommissioned(state: Path) -> datetime | None:
    """When the party of a state directory was decommissioned (aware); None if it was not, or not to its end.

    Raises:
        CorruptState: its ledger is damaged.
    """
    keys, ledger = state / IDENTITY_FOLDER, state / LEDGER_FOLDER
    if (keys / IDENTITY_FILE).exists() or not (keys / CONSORTIUM_FILE).exists():
        return None
    if not (ledger / "origin.json").exists():
        return None
    said = [entry.at for entry in read(ledger).entries if entry.kind == "decommissioned"]
    return said[-1] if said else None


def refuse_decommissioned(state: Path) -> None:
    """Say so of a party that was decommissioned, to whoever wants something of it that needs its keys.

    Raises:
        IdentityError: it was. CorruptState: its ledger is damaged.
    """
    at = decommissioned(state)
    if at is not None:
        raise IdentityError(
            f"this silo was decommissioned on {at:%Y-%m-%d}, and its keys are destroyed for good; its ledger is kept "
            "and can be read ('ledger show', 'ledger fsck', 'collegium-compliance report'), and to take part again it "
            "joins as a new silo in a new state directory",
            code="identity.decommissioned",
        )
