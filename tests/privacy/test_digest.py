"""Hashes that no two different inputs share, and one form of JSON."""

import hashlib
import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privacy.digest import canonical_json, integer, protocol_hash

tags = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)
fields = st.lists(st.binary(max_size=12), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=4)


def test_a_hash_is_that_of_the_protocol() -> None:
    """H(tag, f..) = SHA-256(tag || 0x00 || (len64 || f)*), protocol.md section 3."""
    wanted = hashlib.sha256(b"ctx\0" + bytes(7) + b"\3abc" + bytes(8)).digest()
    assert protocol_hash("ctx", b"abc", b"") == wanted


@given(tags, fields, tags, fields)
def test_different_inputs_have_different_hashes(a: str, x: list[bytes], b: str, y: list[bytes]) -> None:
    assume((a, x) != (b, y))
    assert protocol_hash(a, *x) != protocol_hash(b, *y)


@pytest.mark.parametrize(("x", "y"), [((b"ab", b"c"), (b"a", b"bc")), ((b"",), ()), ((b"a", b""), (b"a",))])
def test_moving_bytes_between_fields_changes_the_hash(x: tuple[bytes, ...], y: tuple[bytes, ...]) -> None:
    assert protocol_hash("t", *x) != protocol_hash("t", *y)


def test_integers_are_eight_bytes() -> None:
    assert integer(1) == b"\0" * 7 + b"\1"
    for wrong in (-1, 2**64):
        with pytest.raises(OverflowError):
            integer(wrong)


@given(objects)
def test_canonical_json_reads_back_and_is_stable(value: dict[str, object]) -> None:
    encoded = canonical_json(value)  # type: ignore[arg-type]
    assert json.loads(encoded) == value
    assert canonical_json(json.loads(encoded)) == encoded


@given(objects)
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_json(backwards) == canonical_json(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": [wrong]})


def test_text_is_utf_8_without_white_space() -> None:
    assert canonical_json({"b": 1, "ä": ["x y", 1.5, None]}) == '{"b":1,"ä":["x y",1.5,null]}'.encode()
