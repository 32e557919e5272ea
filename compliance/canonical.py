"""Canonical JSON to the letter of RFC 8785 (JCS): what a report's digest and signatures are over.

Numbers are written as ECMAScript writes them and keys are ordered by UTF-16 units, so that any other implementation
gives the same bytes. (`privacy.digest` serves the protocol, where every party runs the same code.)
"""

import hashlib
import json
import math
from decimal import Decimal

from privacy.digest import Json

_LONGEST = 22
"""Characters of a whole number that is not written with an exponent."""


def canonical(value: Json) -> bytes:
    """The canonical bytes, without a newline at the end.

    Raises:
        ValueError: a number is not finite or, being whole, not exact as a double; or a text is not Unicode.
    """
    return _text(value).encode()


def digest(value: Json) -> str:
    """SHA-256 of the canonical bytes, hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _text(value: Json) -> str:
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return _whole(value)
        case float():
            return _number(value)
        case list():
            return f"[{','.join(map(_text, value))}]"
        case dict():
            keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
            return "{" + ",".join(f"{_text(key)}:{_text(value[key])}" for key in keys) + "}"
    raise TypeError(f"{type(value).__name__} is not JSON")


def _whole(value: int) -> str:
    """A whole number that any reader takes for the double with these digits."""
    text = str(value)
    if len(text) > _LONGEST or _number(float(value)) != text:
        raise ValueError("a whole number of this size is not exact in JSON")
    return text


def _number(value: float) -> str:
    """ECMAScript's Number::toString: the shortest digits, which Python's `repr` also finds, in another notation."""
    if not math.isfinite(value):
        raise ValueError("JSON has no number that is not finite")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if 0 < point <= 21:
        shown = text.ljust(point, "0")
        shown = f"{shown[:point]}.{shown[point:]}" if len(text) > point else shown
    elif -6 < point <= 0:
        shown = f"0.{'0' * -point}{text}"
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        shown = f"{text[0]}{fraction}e{point - 1:+d}"
    return f"-{shown}" if sign else shown
