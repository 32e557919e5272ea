"""No field stands more often than it can when objects are made of a message, so that little never becomes much."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import ProtocolError
from privacy.wire import bodies, parsing
from privacy.wire import collegium_pb2 as pb
from privacy.wire.counting import MOST, check_counts
from privacy.wire.parsing import MAX_BODY_BYTES
from tests.privacy.wire import strategies as some

KINDS = pb.DESCRIPTOR.message_types_by_name
MEMORY = 4 * 2**20
"""What each of eight bodies that are refused may take, one after the other; uncounted it is 30 MiB."""


def repeated(name: str, times: int, packed: bool = False) -> bytes:
    """A field so often, each time with as little in it as can be."""
    kind, _, field = name.partition(".")
    found = KINDS[kind].fields_by_name[field]
    if packed:
        size = bytes((times & 0x7F | 0x80, times >> 7 & 0x7F | 0x80, times >> 14))
        return bytes((found.number << 3 | 2,)) + size + bytes(times)
    number = found.type in (found.TYPE_UINT32, found.TYPE_UINT64)
    return bytes((found.number << 3 | (0 if number else 2), 0)) * times


def test_each_repeated_field_of_the_protocol_has_a_bound() -> None:
    fields = (field for kind in KINDS.values() for field in kind.fields)
    assert {f"{one.containing_type.name}.{one.name}" for one in fields if one.is_repeated} == set(MOST)
    for kind in KINDS.values():
        check_counts(kind, b"")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", MOST)
def test_a_field_stands_as_often_as_it_may_and_no_more(name: str, packed: bool) -> None:
    kind = KINDS[name.partition(".")[0]]
    if packed and not name.endswith(("_bytes", "wanted")):
        return
    check_counts(kind, repeated(name, MOST[name], packed))
    for more in (repeated(name, MOST[name] + 1, packed), repeated(name, MOST[name]) + repeated(name, 1, packed)):
        with pytest.raises(ProtocolError, match="more often than it can") as caught:
            check_counts(kind, more)
        assert caught.value.code == "protocol.malformed"


def test_numbers_of_several_bytes_are_counted_as_what_they_are() -> None:
    header = pb.UploadHeader(frame_bytes=[2**21] * 20_000)
    check_counts(header.DESCRIPTOR, header.SerializeToString())
    header.frame_bytes.append(2**21)
    with pytest.raises(ProtocolError, match="more often"):
        check_counts(header.DESCRIPTOR, header.SerializeToString())


def test_what_is_within_another_message_is_counted_too() -> None:
    proof = pb.ConsistencyProof(size=1, nodes=[b""] * 65)
    for message in (pb.HeadsGiven(proofs=[proof]), pb.HeadsShown(heads=[pb.ShownHead(proof=proof)])):
        with pytest.raises(ProtocolError, match="more often"):
            check_counts(message.DESCRIPTOR, message.SerializeToString())


@given(some.any_body)
def test_a_field_that_is_not_repeated_stands_once(body: bodies.Body) -> None:
    """Else the parser would take the last one, or merge them: nobody who encodes a message says it so."""
    data = bodies.encode_body(body)
    kind = KINDS[type(body).__name__]
    check_counts(kind, data)
    with pytest.raises(ProtocolError):
        check_counts(kind, data + data)


@given(some.any_body, st.data())
def test_whatever_is_parsed_was_counted(body: bodies.Body, draw: st.DataObject) -> None:
    """Damaged at will: the parser never finds more in the bytes than was counted in them."""
    data = bodies.encode_body(body)
    at, to = sorted(draw.draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
    damaged = data[:at] + draw.draw(st.binary(max_size=12)) + data[to:]
    kind: Any = getattr(pb, type(body).__name__)
    try:
        message = parsing.parse(kind, damaged, MAX_BODY_BYTES)
    except ProtocolError:
        return
    for field, value in message.ListFields():
        assert not field.is_repeated or len(value) <= MOST[f"{type(body).__name__}.{field.name}"]


@pytest.mark.parametrize(
    "tail", [b"\x0a", b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\x0f", b"\x80" * 11, b"\x0a" + b"\xff" * 9]
)
def test_bytes_that_end_too_early_are_malformed(tail: bytes) -> None:
    with pytest.raises(ProtocolError, match="cannot be parsed"):
        check_counts(pb.Sign.DESCRIPTOR, tail)


MEASURE = f"""
import json, sys
from contextlib import suppress
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from privacy.channel.envelope import sign
from privacy.errors import ProtocolError
from privacy.wire import bodies, collegium_pb2 as pb, exchange
from privacy.wire.messages import Advertise

KEY = Ed25519PrivateKey.generate()
BODY = b"\\x3a\\x00" * {MAX_BODY_BYTES // 2}
SIGNED = sign("advertise", BODY, "north", KEY)


def grown(call):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = peak()
    made = [call() for _ in range(8)]
    return peak() - before


def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def refused():
    with suppress(ProtocolError):
        return bodies.open_signed(SIGNED, Advertise, KEY.public_key().public_bytes_raw())


def given():
    with suppress(ProtocolError):
        return exchange.decode_given(b"\\x32\\x00" * {MAX_BODY_BYTES // 2})


json.dump([grown(refused), grown(given), grown(lambda: pb.Advertise.FromString(BODY))], sys.stdout)
"""


def test_a_body_of_half_a_million_empty_messages_is_refused_before_they_are_made() -> None:
    """Eight calls of one silo took 227 MiB. The twin parses the same bodies without counting, and keeps them."""
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    signed, given, twin = json.loads(told.stdout)
    assert signed < MEMORY
    assert given < MEMORY
    assert twin > 25 * MEMORY
