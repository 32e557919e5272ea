"""The canonical line of an entry, read strictly and fast: its bytes are taken apart where the form fixes them.

A line is `{"body":B,"kind":"K","previous":"P","sequence":N,"signature":"S","time":"T"}` with B in canonical JSON.
Only B needs a JSON reader, and equal bodies are read once. Accepts exactly what `Entry.line` writes. Signatures are
not checked here; `signed_bytes` gives what they are over.
"""

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState
from privacy.ledger.entry import MAX_LINE, SIGNATURE_CONTEXT, Entry, check_body

_NOTHING: Mapping[str, Json] = MappingProxyType({})
_HEAD = b'{"body":'
_KIND = b',"kind":"'
_TAIL = re.compile(
    rb',"kind":"(?P<kind>[a-z_]{1,64})"'
    rb'(?P<middle>,"previous":"(?P<previous>[0-9a-f]{64})","sequence":(?P<sequence>0|[1-9][0-9]{0,17}))'
    rb',"signature":"(?P<signature>[0-9a-f]{128})"'
    rb'(?P<end>,"time":"(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"\})'
)


class Bodies:
    """Remembers the bodies that were read last: most repeat, soon within a ledger, later between parties.

    Args:
        most: how many; a body takes about a kilobyte.
        without: kinds whose bodies are not asked for: they are not looked at, and given as empty.
    """

    def __init__(self, most: int = 1024, without: frozenset[str] = frozenset()) -> None:
        self._without = without
        self._parsed = lru_cache(maxsize=most)(_body)
        self._fitting = lru_cache(maxsize=most)(self._check)

    def read(self, kind: str, data: bytes) -> Mapping[str, Json]:
        """The body of a kind from its bytes.

        Raises:
            ValueError, RecursionError: not canonical, or not of the kind.
        """
        if kind in self._without:
            return _NOTHING
        self._fitting(kind, data)
        return self._parsed(data)

    def _check(self, kind: str, data: bytes) -> None:
        check_body(kind, self._parsed(data))


Form: TypeAlias = "re.Match[bytes]"
"""Where the parts of a line are."""


def signed_bytes(form: Form, origin: bytes) -> bytes:
    """What the signature of a line is over; `origin` as a JSON text with its quotes."""
    before, after = form.string[: form.start("middle")], form["middle"] + form["end"]
    return b"".join((SIGNATURE_CONTEXT, before, b',"origin":', origin, after))


def parse(line: bytes, sequence: int) -> Entry:
    """Read the line at position `sequence`; see `split`."""
    return split(line, sequence, Bodies())[0]


def split(line: bytes, sequence: int | None, bodies: Bodies) -> tuple[Entry, Form]:
    """Read a line, strictly; the signature is not checked here.

    Args:
        line: without its newline.
        sequence: the number that the entry must have; None takes any.
        bodies: what was read before.

    Raises:
        CorruptState: it is not the canonical line of an entry with this sequence number.
    """
    where = "an entry" if sequence is None else f"ledger entry {sequence}"
    if len(line) > MAX_LINE:
        raise CorruptState(f"{where} is too long to be an entry", code="ledger.line")
    # The last `,"kind":"` is the entry's own: after it no object or text of the body can follow.
    at = line.rfind(_KIND)
    tail = _TAIL.fullmatch(line, at) if at >= 0 else None
    if tail is None or not line.startswith(_HEAD):
        raise CorruptState(f"{where} is damaged: it does not have the form of an entry", code="ledger.line")
    kind, previous, number, signature, time = tail.group("kind", "previous", "sequence", "signature", "time")
    if sequence is not None and int(number) != sequence:
        raise CorruptState(
            f"{where} carries number {int(number)}: entries were removed, added or reordered", code="ledger.sequence"
        )
    name = sys.intern(kind.decode())
    try:
        body = bodies.read(name, line[len(_HEAD) : at])
        datetime.fromisoformat(time.decode())
    except (ValueError, RecursionError) as error:
        raise CorruptState(f"{where} is damaged: {_reason(error)}", code="ledger.line") from error
    return Entry(int(number), time.decode(), name, body, previous.decode(), signature.decode()), tail


def _body(data: bytes) -> Mapping[str, Json]:
    body = json.loads(data.decode("utf-8"))
    if not isinstance(body, dict) or canonical_json(body) != data:
        raise ValueError("it is not in canonical form")
    return {name: _shared(value) for name, value in body.items()}


def _shared(value: Json) -> Json:
    """Names of studies and cohorts, and events, stand in thousands of bodies: once in memory."""
    if type(value) is str:
        return sys.intern(value)
    return _same(canonical_json(value)) if isinstance(value, dict) else value


@lru_cache(maxsize=1024)
def _same(data: bytes) -> Json:
    found: Json = json.loads(data)
    return found


def _reason(error: Exception) -> str:
    """Our own sentences only: a JSON or Unicode error may quote what it read."""
    return str(error) if type(error) is ValueError else "it cannot be read"
