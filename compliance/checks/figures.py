"""Every figure of the record against the one that the evidence gives now, path by path.

Numbers may differ by a part in a thousand million, which is what other processors and libraries make of one sum.
"""

import math
from collections.abc import Collection, Iterator, Mapping

from compliance.checks.check import Check, conclude
from compliance.studies import Accountants
from privacy.digest import Json

TOLERANCE = 1e-9
_LONGEST = 60
_MISSING = "\x00"
"""No text of a record or of a ledger: what is not there."""


def figures(record: Mapping[str, Json], again: Mapping[str, Json], accountants: Accountants) -> Check:
    """All that the record says is what the evidence says."""
    # Which accountants were at hand is no finding about the evidence; what one that is missing here said is not shown.
    passed_over = {"accountants"} if accountants.prv else {"accountants", "prv", "agree"}
    problems = [
        f"{path} is {stated} in the report and {found} by the evidence"
        for path, stated, found in differences(dict(record), dict(again), passed_over)
    ]
    return conclude("figures", problems, seen="each is what the evidence gives")


def accountants_used(record: Mapping[str, Json], accountants: Accountants) -> Check:
    """The report was made with the accountants that are here, and two of them agree on each study."""
    used, here = record.get("accountants"), accountants.names
    gaps = [] if used == here else [f"the report was made with {_brief(used)} and checked with {_brief(dict(here))}"]
    problems = []
    studies = record.get("studies")
    for study in studies if isinstance(studies, list) else ():
        figures_of = study.get("figures") if isinstance(study, dict) else None
        if isinstance(study, dict) and study.get("as_signed") is False:
            problems.append(f"what was charged for study '{study.get('name')}' is not the mechanism that was signed")
        if isinstance(study, dict) and isinstance(figures_of, dict) and figures_of.get("agree") is False:
            problems.append(f"two accountants do not agree on study '{study.get('name')}'")
        if isinstance(figures_of, dict) and figures_of.get("agree") is None:
            gaps.append("no second accountant was at hand")
    return conclude("accountants", problems, gaps)


def differences(
    stated: Json, found: Json, passed_over: Collection[str], path: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Where two JSON values differ: path, the one, the other."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for key in sorted(stated.keys() | found.keys() - set(passed_over)):
            if key not in passed_over:
                below = f"{path}.{key}" if path else key
                yield from differences(stated.get(key, _MISSING), found.get(key, _MISSING), passed_over, below)
    elif isinstance(stated, list) and isinstance(found, list):
        for index in range(max(len(stated), len(found))):
            one = stated[index] if index < len(stated) else _MISSING
            other = found[index] if index < len(found) else _MISSING
            yield from differences(one, other, passed_over, f"{path}[{_name(one, index)}]")
    elif not _alike(stated, found):
        yield path, _brief(stated), _brief(found)


def _alike(stated: Json, found: Json) -> bool:
    if isinstance(stated, bool) or isinstance(found, bool):
        return stated is found
    if isinstance(stated, int | float) and isinstance(found, int | float):
        return math.isclose(stated, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE * TOLERANCE)
    return stated == found


def _name(item: Json, index: int) -> str:
    """An element by what it calls itself, which a person finds sooner."""
    for key in ("name", "party", "silo"):
        if isinstance(item, dict) and isinstance(item.get(key), str):
            return str(item[key])
    return str(index)


def _brief(value: Json) -> str:
    text = "nothing" if value == _MISSING else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
