"""The channel counts what really went: compared with what a server got, over real TLS, and nothing goes uncounted."""

from pathlib import Path
from typing import get_args

import pytest

from privacy.channel.envelope import Signed
from privacy.channel.one_way import records
from privacy.errors import StorageError
from privacy.wire import bodies, convert, health
from silo_node.egress.channel import open_channel
from silo_node.egress.classes import CLASSES, CONNECTION_CHECK, SIGNED_METHODS, class_of
from silo_node.egress.log import EgressLog, read
from tests.aggregator.members import Members
from tests.privacy.channel.serving import serving

OF_THE_AGGREGATOR = {"survivors", "abandon", "head-answer"}


class Full(EgressLog):
    """A disk that is full after some messages."""

    left = 1

    def count(self, name: str, size: int) -> None:
        if not self.left:
            raise StorageError("the disk is full", code="storage.full")
        self.left -= 1
        super().count(name, size)


def test_each_kind_of_call_is_counted_to_the_byte(members: Members, tmp_path: Path) -> None:
    egress = EgressLog(tmp_path, "ab" * 32, "cd" * 32)
    with serving(members.hub) as (port, _), open_channel(members.of(1), f"localhost:{port}", egress) as channel:
        channel.unary_unary("/t.Echo/Unary", bytes, bytes)(b"abc", timeout=10)
        list(channel.unary_stream("/t.Echo/Down", bytes, bytes)(b"de", timeout=10))
        channel.stream_unary("/t.Echo/Up", bytes, bytes)(iter([b"f", b"gh"]), timeout=10)
        list(channel.stream_stream("/t.Echo/Both", bytes, bytes)(iter([b"ijkl"]), timeout=10))
    egress.close()
    assert [(sent.name, sent.size) for sent in read(tmp_path)] == [
        ("Unary", 3),
        ("Down", 2),
        ("Up", 1),
        ("Up", 2),
        ("Both", 4),
    ]


def test_a_message_that_cannot_be_entered_is_not_sent(members: Members, tmp_path: Path) -> None:
    egress = Full(tmp_path, "", "")
    egress.left = 0
    with serving(members.hub) as (port, echo), open_channel(members.of(1), f"localhost:{port}", egress) as channel:
        with pytest.raises(StorageError):
            channel.unary_unary("/t.Echo/Unary", bytes, bytes)(b"abc", timeout=10)
        with pytest.raises(StorageError):
            list(channel.unary_stream("/t.Echo/Down", bytes, bytes)(b"abc", timeout=10))
        assert not echo.calls
        egress.left = 1
        with pytest.raises(StorageError):
            channel.stream_unary("/t.Echo/Up", bytes, bytes)(iter([b"f", b"gh"]), timeout=10)
    egress.close()
    assert [sent.size for sent in read(tmp_path)] == [1]


def test_what_is_no_bytes_is_not_sent(members: Members, tmp_path: Path) -> None:
    egress = EgressLog(tmp_path, "", "")
    with open_channel(members.of(1), "localhost:1", egress) as channel, pytest.raises(RuntimeError):
        channel.unary_unary("/t.Echo/Unary", str.encode, bytes)("abc", timeout=10)


def test_every_message_that_a_silo_may_send_is_described() -> None:
    kinds = {bodies.kind_of(body) for body in get_args(bodies.Body)}
    sent = {name.partition("/")[2] for name in CLASSES if "/" in name}
    assert sent == kinds - OF_THE_AGGREGATOR
    methods = {method.name for method in convert.SERVICE.methods}
    others = {CONNECTION_CHECK, *(name.rpartition("/")[2] for name in (records.BEGIN, health.CHECK))}
    described = {name.partition("/")[0] for name in CLASSES}
    assert described == methods | others
    assert {name.partition("/")[0] for name in CLASSES if "/" in name} == SIGNED_METHODS


def test_the_class_is_what_the_signature_covers() -> None:
    signed = bodies.encode_signed(Signed("advertise", b"body", "north", bytes(64)))
    assert class_of("/collegium.v1.Aggregator/Submit", signed) == "Submit/advertise"
    assert class_of("/collegium.v1.Aggregator/Submit", b"\xff\xff") == "Submit/unreadable"
    assert class_of("/collegium.v1.Aggregator/Await", signed) == "Await"
