"""What is signed, apart from any line: a record fits one place of one call, and a call is made once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.channel.identity import Identity
from privacy.channel.one_way import records
from privacy.channel.one_way.records import Call, Kind, check_proof, make_head, read_head
from privacy.channel.one_way.window import SIZE, Window
from privacy.errors import IdentityError, ProtocolError, Unreachable
from tests.consortium import Consortium

STUDY, FRESH, METHOD = b"s" * 32, b"f" * 32, "/collegium.v1.Aggregator/Submit"


def head_of(silo: Identity, number: int = 1, method: str = METHOD, study: bytes = STUDY, fresh: bytes = FRESH) -> bytes:
    return make_head(study, method, fresh, number, silo.certificate, silo.keys.tls)


def test_a_head_says_who_calls_what_in_which_study(silo: Identity) -> None:
    head = read_head(head_of(silo, 7))
    assert (head.fresh, head.number, head.certificate) == (FRESH, 7, silo.certificate)
    check_proof(head, STUDY, METHOD)
    assert read_head(head.encode()) == head
    assert len(head.encode()) <= records.MAX_HEAD_BYTES


@pytest.mark.parametrize("what", ["study", "method", "fresh", "number", "certificate", "proof"])
def test_a_head_that_was_changed_is_not_signed(silo: Identity, consortium: Consortium, what: str) -> None:
    head, study, method = read_head(head_of(silo)), STUDY, METHOD
    if what == "study":
        study = b"t" * 32
    elif what == "method":
        method = "/collegium.v1.Aggregator/Await"
    else:
        other = consortium.silo(f"other-{datetime.now(UTC):%H%M%S%f}") if what == "certificate" else silo
        changed = {"fresh": b"g" * 32, "number": 2, "certificate": other.certificate, "proof": head.proof[:-1]}
        head = replace(head, **{what: changed[what]})
    with pytest.raises(IdentityError):
        check_proof(head, study, method)


@given(st.binary(max_size=300))
def test_what_is_no_head_is_refused_before_anything_is_checked(data: bytes) -> None:
    with pytest.raises((ProtocolError, IdentityError)):
        read_head(data)


def test_a_head_of_any_length_but_its_own_is_refused(silo: Identity) -> None:
    data = head_of(silo)
    for wrong in (data[:-1], data + b"\0", data + bytes(records.MAX_HEAD_BYTES), data[:41]):
        with pytest.raises(ProtocolError):
            read_head(wrong)


@pytest.mark.parametrize("direction", ["request", "answer"])
def test_a_record_opens_where_it_was_sealed_and_nowhere_else(
    silo: Identity, consortium: Consortium, direction: str
) -> None:
    head, key = head_of(silo), silo.keys
    call = Call.of(STUDY, METHOD, head)
    seal, opened = getattr(call, f"seal_{direction}"), getattr(call, f"open_{direction}")
    record = seal(3, Kind.MESSAGE, b"message", key.identity)
    assert len(record) == len(b"message") + records.OVERHEAD_BYTES
    assert opened(3, record, key.public_identity) == (Kind.MESSAGE, b"message")
    elsewhere = {
        "another place": lambda: opened(2, record, key.public_identity),
        "another kind": lambda: opened(3, bytes([Kind.LAST]) + record[1:], key.public_identity),
        "no such kind": lambda: opened(3, b"\x09" + record[1:], key.public_identity),
        "another message": lambda: opened(3, record[:-1] + b"!", key.public_identity),
        "a longer one": lambda: opened(3, record + b"!", key.public_identity),
        "cut": lambda: opened(3, record[:40], key.public_identity),
        "empty": lambda: opened(3, b"", key.public_identity),
        "another key": lambda: opened(3, record, b"\1" * 32),
        "the other direction": lambda: (call.open_answer if direction == "request" else call.open_request)(
            3, record, key.public_identity
        ),
        "another call": lambda: getattr(Call.of(STUDY, METHOD, head_of(silo, 2)), f"open_{direction}")(
            3, record, key.public_identity
        ),
        "another method": lambda: getattr(Call.of(STUDY, METHOD + "x", head), f"open_{direction}")(
            3, record, key.public_identity
        ),
        "another study": lambda: getattr(Call.of(b"t" * 32, METHOD, head), f"open_{direction}")(
            3, record, key.public_identity
        ),
    }
    for name, attempt in elsewhere.items():
        with pytest.raises(Unreachable) as caught:
            attempt()
        assert caught.value.code == "one_way.altered", name


@settings(max_examples=40)
@given(st.lists(st.integers(1, 3 * SIZE) | st.integers(1, 9), max_size=40))
def test_no_number_is_taken_twice(numbers: list[int]) -> None:
    window, taken, highest = Window(), set[int](), 0
    for number in numbers:
        fits = number not in taken and number > highest - SIZE
        if fits:
            window.take(number)
            taken.add(number)
            highest = max(highest, number)
        else:
            with pytest.raises(Unreachable) as caught:
                window.take(number)
            assert caught.value.code == "one_way.stale"
        assert window.highest == highest


def test_the_number_of_a_beginning_is_none_of_a_call() -> None:
    with pytest.raises(Unreachable):
        Window().take(0)
