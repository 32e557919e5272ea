import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState
from privacy.ledger.entry import ADDED, KINDS, MAX_LINE, Entry, check_body, make
from privacy.ledger.line import parse

ORIGIN = "spiffe://demo/silo/alpha"
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
EXAMPLES: dict[str, Json] = {
    "text": "t",
    "count": 3,
    "number": 1.5,
    "flag": True,
    "object": {"k": 1},
    "list": ["v"],
}


def example(kind: str) -> dict[str, Json]:
    return {name: EXAMPLES[form] for name, form in KINDS[kind].items()}


def test_the_line_of_an_entry_never_changes() -> None:
    # A known answer: a later version must read what this one wrote.
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    entry = make(7, AT, "round_opened", {"study_digest": "ab", "round": 3}, bytes(32), ORIGIN, key)
    assert (
        entry.line()
        == (
            b'{"body":{"round":3,"study_digest":"ab"},"kind":"round_opened",'
            b'"previous":"0000000000000000000000000000000000000000000000000000000000000000","sequence":7,'
            b'"signature":"%s","time":"2026-03-01T12:30:00.000000Z"}'
        )
        % entry.signature.encode()
    )
    message = canonical_json(
        {
            "origin": ORIGIN,
            "sequence": 7,
            "time": "2026-03-01T12:30:00.000000Z",
            "kind": "round_opened",
            "body": {"study_digest": "ab", "round": 3},
            "previous": "00" * 32,
        }
    )
    assert bytes.fromhex(entry.signature) == key.sign(b"collegium/v1/ledger-entry\0" + message)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_and_read_back(kind: str, key: Ed25519PrivateKey) -> None:
    entry = make(0, AT, kind, example(kind), bytes(32), ORIGIN, key)
    assert parse(entry.line(), 0) == entry
    entry.verify(ORIGIN, key.public_key())


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_has_exactly_its_keys_and_types(kind: str) -> None:
    body = example(kind)
    check_body(kind, body)
    with pytest.raises(ValueError, match="exactly the keys"):
        check_body(kind, {**body, "patient": "x"})
    for name, form in KINDS[kind].items():
        without = {k: v for k, v in body.items() if k != name}
        if ADDED.get(kind) == {name}:
            check_body(kind, without)
        else:
            with pytest.raises(ValueError, match="exactly the keys"):
                check_body(kind, without)
        for other, value in EXAMPLES.items():
            if other != form and (form, other) != ("number", "count"):
                with pytest.raises(ValueError, match=name):
                    check_body(kind, {**body, name: value})
    with pytest.raises(ValueError, match="unknown kind"):
        check_body("rumour", body)


def test_times_are_utc_whatever_the_clock_says(key: Ed25519PrivateKey) -> None:
    local = datetime(2026, 3, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    entry = make(0, local, "study_published", {"study_digest": "ab"}, bytes(32), ORIGIN, key)
    assert entry.time == "2026-03-01T12:30:00.000000Z"
    assert entry.at == AT
    with pytest.raises(ValueError, match="time zone"):
        make(0, datetime(2026, 3, 1), "study_published", {"study_digest": "ab"}, bytes(32), ORIGIN, key)


def test_an_entry_keeps_nothing_of_the_callers_objects(key: Ed25519PrivateKey) -> None:
    body: dict[str, Json] = {"study_digest": "ab", "round": 1, "survivors": "cd", "silos": ["alpha"]}
    entry = make(0, AT, "survivors", body, bytes(32), ORIGIN, key)
    body["silos"] = ["alpha", "mallory"]
    assert entry.body["silos"] == ["alpha"]


def test_an_entry_is_small(key: Ed25519PrivateKey) -> None:
    with pytest.raises(ValueError, match="size"):
        make(0, AT, "incident", {"code": "c", "detail": "x" * MAX_LINE}, bytes(32), ORIGIN, key)


def test_a_signature_is_for_one_ledger_and_one_key(key: Ed25519PrivateKey) -> None:
    entry = make(0, AT, "study_published", {"study_digest": "ab"}, bytes(32), ORIGIN, key)
    for origin, public in [
        ("spiffe://demo/silo/beta", key.public_key()),
        (ORIGIN, Ed25519PrivateKey.generate().public_key()),
    ]:
        with pytest.raises(CorruptState, match="changed or signed by another"):
            entry.verify(origin, public)


def _line(**changes: Json) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    entry = make(0, AT, "round_opened", {"study_digest": "ab", "round": 3}, bytes(32), ORIGIN, key)
    return canonical_json({**json.loads(entry.line()), **changes})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b" " + _line(),
        _line(extra=1),
        _line(sequence=True),
        _line(sequence="0"),
        _line(time="2026-03-01T12:30:00Z"),
        _line(time="2026-13-01T12:30:00.000000Z"),
        _line(kind="rumour"),
        _line(body=[]),
        _line(body={"study_digest": "ab"}),
        _line(previous="00"),
        _line(signature="zz"),
        _line().replace(b'"round":3', b'"round":NaN'),
        _line().replace(b'"round":3', b'"round":3,"round":3'),
        _line().replace(b'"ab"', b'"\\ud800"'),
        b"x" * (MAX_LINE + 1),
    ],
)
def test_anything_but_a_canonical_line_is_refused(line: bytes) -> None:
    with pytest.raises(CorruptState, match="entry 0"):
        parse(line, 0)


def test_the_number_must_be_that_of_the_position() -> None:
    with pytest.raises(CorruptState) as caught:
        parse(_line(), 1)
    assert caught.value.code == "ledger.sequence"


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_found(position: int, bit: int) -> None:
    line = bytearray(_line())
    line[position % len(line)] ^= 1 << bit
    key = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(CorruptState):
        _read(bytes(line)).verify(ORIGIN, key)


def _read(line: bytes) -> Entry:
    return parse(line, 0)
