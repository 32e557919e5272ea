"""Dates and times shifted by whole days, so that intervals between a patient's dates stay as they are.

Times of day stay: a shift by whole days leaves them, and everything that is computed from a pair of times
(uptake, decay, contrast phases) with them. What is no date of PS3.5 is not guessed at.
"""

import re
from datetime import date, timedelta

_DATE = re.compile(r"^(\d{4})(\d{2})(\d{2})(.*)$", re.DOTALL)
_TIME = re.compile(r"^\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?$")
_REST = re.compile(r"^(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?([+-]\d{4})?$")


def shifted(text: str, vr: str, days: int) -> str | None:
    """A DA, DT or TM value `days` earlier.

    Returns:
        None: the value is not of its form, or has no day to shift; it must go.
    """
    text = text.strip(" \0")
    if vr == "TM":
        return text if _TIME.match(text.replace(":", "")) else None
    match = _DATE.match(text.replace(".", "") if vr == "DA" else text)
    if match is None or (match[4] and (vr == "DA" or not _REST.match(match[4]))):
        return None
    try:
        moved = date(int(match[1]), int(match[2]), int(match[3])) - timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}{match[4]}"
