"""The table of PS3.15 Annex E as rules for one profile: tag to action, with the options applied.

Compound codes of the Basic Profile depend on whether an IOD has the attribute as Type 1, 2 or 3, which
changes with the module. They are resolved to the weakest that every IOD allows: with D among them a dummy
(right for Types 1, 2 and 3), else with Z empty (right for 2 and 3). The value always goes; no attribute
that was absent is added. Where options meet in one row, what is kept as it is precedes what is cleaned,
except dates, which go by the dates' option alone: a date left in place would give the shift away.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

from imaging.deidentification.profile import Option, Profile


class Action(StrEnum):
    """What is done with an attribute of the table."""

    DUMMY = "dummy"
    EMPTY = "empty"
    REMOVE = "remove"
    MAP = "map"
    KEEP = "keep"
    CLEAN = "clean"
    SHIFT = "shift"


PATTERNS = {"50xxxxxx": "X", "60xx3000": "X", "60xx4000": "X", "ggggeeee where gggg is odd": "X"}
"""The rows of the table that stand for many tags; the walk implements these and no other."""

DATES = frozenset({"DA", "DT", "TM"})

_BASIC = {
    "D": Action.DUMMY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "Z": Action.EMPTY,
    "X/Z": Action.EMPTY,
    "X": Action.REMOVE,
    "U": Action.MAP,
    "X/Z/U*": Action.MAP,
}
_CODES = {"K": Action.KEEP, "C": Action.CLEAN}

_PRECEDENCE = (
    Option.CLEAN_DESCRIPTORS,
    Option.CLEAN_GRAPHICS,
    Option.CLEAN_STRUCTURED_CONTENT,
    Option.RETAIN_PATIENT_CHARACTERISTICS,
    Option.RETAIN_INSTITUTION,
    Option.RETAIN_DEVICE,
    Option.RETAIN_UIDS,
)
"""Later ones win."""


@dataclass(frozen=True)
class Rules:
    """The table for one profile.

    Attributes:
        edition: of the Basic Profile's column.
        basic: tag -> action of the Basic Profile.
        actions: tag -> action with the options and the profile's own list.
    """

    edition: str
    basic: Mapping[int, Action]
    actions: Mapping[int, Action]


def published() -> dict[str, Any]:
    """The data file.

    Raises:
        RuntimeError: it has a code or pattern that is not implemented here.
    """
    data: dict[str, Any] = json.loads((files("imaging.deidentification") / "data" / "ps315.json").read_text("utf-8"))
    codes = {code for option in data["options"].values() for code in option.values()}
    options = set(data["options"]) - set(Option)
    if set(data["rows"].values()) - set(_BASIC) or codes - set(_CODES) or data["patterns"] != PATTERNS or options:
        raise RuntimeError("the de-identification table has a code, option or pattern that is not implemented")
    return data


@cache
def rules(profile: Profile) -> Rules:
    """The table with a profile's options.

    Raises:
        RuntimeError: as `published`.
    """
    data = published()
    basic = {int(tag, 16): _BASIC[code] for tag, code in data["rows"].items()}
    actions = dict(basic)
    for option in _PRECEDENCE:
        if profile.has(option):
            for tag, code in data["options"][option].items():
                if "x" not in tag and not _is_date(int(tag, 16)):
                    actions[int(tag, 16)] = _CODES[code]
    if profile.has(Option.MODIFIED_DATES):
        rows = (int(tag, 16) for tag in data["options"][Option.MODIFIED_DATES])
        actions |= {tag: Action.SHIFT for tag in rows if _is_date(tag)}
    for keyword in profile.keep:
        tag = tag_for_keyword(keyword)
        if tag is not None:
            actions[tag] = Action.KEEP
    return Rules(data["edition"], MappingProxyType(basic), MappingProxyType(actions))


def _is_date(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) in DATES
