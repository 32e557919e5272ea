"""Which attacks of an audit refuted the code that runs here: read from a ledger's `software` and `audited` entries.

An attack stands refuting until the same attack, made again on the same code, finds nothing. What other code gave away
does not count, unless the ledger does not say which code was attacked. A ledger that names no audit shows nothing.
"""

from collections.abc import Iterable
from typing import Final

from privacy.ledger.entry import Entry

CONSISTENT: Final = "consistent"
"""The only outcome that lets training go on."""


def refuting(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Which attacks on the newest code of a ledger gave a bound above its claim; empty if none did, or none was made.

    Args:
        entries: of one ledger, oldest first; those of other kinds are passed over.
    """
    code = ""
    found: dict[tuple[str, str], bool] = {}
    for entry in entries:
        body = entry.body
        if entry.kind == "software":
            code = str(body["code"])
        elif entry.kind == "audited":
            what = str(body["what"])
            # Written so that a bound that is no number refutes.
            within = float(str(body["lower_bound"])) <= float(str(body["claimed_epsilon"]))
            sound = body["outcome"] == CONSISTENT and within
            found[code, what] = not sound
            if sound:
                found.pop(("", what), None)
    return tuple(dict.fromkeys(what for (of, what), broken in found.items() if broken and of in (code, "")))
