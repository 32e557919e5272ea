"""Domain-separated hashing and canonical JSON: the two encodings that digests are made of.

`protocol_hash` is `H` of the secure-aggregation protocol. Canonical JSON is that of RFC 8785 but for
floats, which are written as Python's shortest round-trip form; every party runs this same code.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def protocol_hash(tag: str, *fields: bytes) -> bytes:
    """SHA-256(tag || 0x00 || (len64(f) || f)*), big-endian lengths; 32 bytes."""
    state = hashlib.sha256(tag.encode("ascii") + b"\x00")
    for field in fields:
        state.update(len(field).to_bytes(8, "big"))
        state.update(field)
    return state.digest()


def integer(value: int) -> bytes:
    """A non-negative integer as an 8-byte big-endian hash field."""
    return value.to_bytes(8, "big")


def canonical_json(value: Mapping[str, Json]) -> bytes:
    """Sorted keys, no white space, UTF-8, no NaN: equal values give equal bytes.

    Raises:
        ValueError: a float is not finite.
    """
    return _CANONICAL.encode(value).encode()
