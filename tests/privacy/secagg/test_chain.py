"""The chain names one history: any difference in study, model, outcome or survivors gives another value."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.secagg.chain import Outcome, first, following

DIGEST = st.binary(min_size=32, max_size=32)
STEP = st.one_of(st.tuples(st.just(Outcome.CLOSED), DIGEST), st.tuples(st.just(Outcome.ABANDONED), st.just(b"")))


def walk(study: bytes, model: bytes, steps: list[tuple[Outcome, bytes]]) -> bytes:
    chain = first(study, model)
    for outcome, survivors in steps:
        chain = following(chain, outcome, survivors)
    return chain


@given(DIGEST, DIGEST, st.lists(STEP, max_size=5), DIGEST, DIGEST, st.lists(STEP, max_size=5))
def test_equal_chains_mean_equal_histories(
    study: bytes,
    model: bytes,
    steps: list[tuple[Outcome, bytes]],
    other_study: bytes,
    other_model: bytes,
    other_steps: list[tuple[Outcome, bytes]],
) -> None:
    same = (study, model, steps) == (other_study, other_model, other_steps)
    assert (walk(study, model, steps) == walk(other_study, other_model, other_steps)) is same
    assert walk(study, model, steps) == walk(study, model, list(steps))


def test_the_form_is_that_of_the_protocol() -> None:
    def field(value: bytes) -> bytes:
        return len(value).to_bytes(8, "big") + value

    start = first(bytes(32), bytes(32))
    assert start == hashlib.sha256(b"chain-0\0" + field(bytes(32)) * 2).digest()
    by_hand = hashlib.sha256(b"chain\0" + field(start) + field(b"closed") + field(b"\1" * 32)).digest()
    assert following(start, Outcome.CLOSED, b"\1" * 32) == by_hand
    abandoned = hashlib.sha256(b"chain\0" + field(start) + field(b"abandoned") + field(b"")).digest()
    assert following(start, Outcome.ABANDONED, b"") == abandoned


def test_contradictions_are_misuse() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        first(b"", bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        following(bytes(31), Outcome.ABANDONED, b"")
    with pytest.raises(ValueError, match="32 bytes"):
        following(bytes(32), Outcome.CLOSED, b"")
    with pytest.raises(ValueError, match="no survivors"):
        following(bytes(32), Outcome.ABANDONED, bytes(32))
