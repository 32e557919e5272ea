import json
import math
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.digest import canonical_json
from privacy.dp.accounting import epsilon_pld
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, from_json, merge, to_json
from privacy.errors import CorruptState

dp_sgd = st.builds(
    DpSgdEvent,
    sampling_rate=st.floats(1e-9, 1),
    noise_multiplier=st.floats(1e-6, 1e6),
    steps=st.integers(1, 10**9),
)
events = st.one_of(dp_sgd, st.builds(UnprotectedEvent, steps=st.integers(1, 10**9)))
VECTORS = json.loads(Path(__file__).with_name("event_vectors_v1.json").read_text())
GOOD = to_json(DpSgdEvent(0.25, 1.5582, 100))


@given(events)
def test_an_event_survives_the_ledger(event: DpEvent) -> None:
    assert from_json(json.loads(canonical_json(to_json(event)))) == event


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_a_vector_is_read_and_written_as_it_was_in_the_first_version(vector: dict[str, str]) -> None:
    event = from_json(json.loads(vector["canonical"]))
    assert canonical_json(to_json(event)).decode() == vector["canonical"]
    epsilon = epsilon_pld([event], 1e-5)
    expected = vector["epsilon_at_delta_1e-5"]
    assert epsilon == math.inf if expected is None else epsilon == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("twin", VECTORS["tampered"], ids=lambda twin: twin["name"])
def test_an_altered_twin_of_a_vector_is_refused(twin: dict[str, str]) -> None:
    with pytest.raises(CorruptState) as caught:
        from_json(json.loads(twin["text"]))
    assert caught.value.code == "event.unknown"


def test_every_mechanism_has_a_vector_and_every_twin_differs_from_its_original() -> None:
    texts = {vector["name"]: vector["canonical"] for vector in VECTORS["valid"]}
    assert {json.loads(text)["mechanism"] for text in texts.values()} == {
        mechanism.mechanism for mechanism in get_args(DpEvent)
    }
    assert all(twin["text"] != texts[twin["of"]] for twin in VECTORS["tampered"])


def test_the_stored_form_never_changes() -> None:
    assert canonical_json(GOOD) == (
        b'{"adjacency":"add_remove","mechanism":"dp_sgd","noise_at":"local","noise_multiplier":1.5582,'
        b'"sampling_rate":0.25,"steps":100,"unit":"patient"}'
    )
    assert canonical_json(to_json(UnprotectedEvent(3))) == b'{"mechanism":"none","steps":3,"unit":"patient"}'


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "laplace"},
        {"mechanism": ["dp_sgd"]},
        {"mechanism": "none"},
        {"unit": "image"},
        {"adjacency": "replace_one"},
        {"noise_at": "distributed"},
        {"epsilon": 0.1},
        {"steps": 0},
        {"steps": -5},
        {"steps": True},
        {"steps": 1.0},
        {"steps": "100"},
        {"sampling_rate": 0},
        {"sampling_rate": 1.5},
        {"sampling_rate": True},
        {"sampling_rate": None},
        {"noise_multiplier": float("nan")},
        {"noise_multiplier": float("inf")},
        {"noise_multiplier": 10**400},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": 0.0},
    ],
)
def test_an_unknown_or_damaged_event_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CorruptState) as caught:
        from_json({**GOOD, **change})
    assert caught.value.code == "event.unknown"


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_an_event_with_a_missing_key_is_refused(missing: str) -> None:
    with pytest.raises(CorruptState):
        from_json({key: value for key, value in GOOD.items() if key != missing})


@pytest.mark.parametrize("thing", [None, [], "dp_sgd", 3, {}])
def test_what_is_not_an_event_is_refused(thing: object) -> None:
    with pytest.raises(CorruptState):
        from_json(thing)


@pytest.mark.parametrize(
    ("rate", "noise", "steps"), [(0.0, 1.0, 1), (1.01, 1.0, 1), (float("nan"), 1.0, 1), (0.5, 0.0, 1), (0.5, 1.0, 0)]
)
def test_an_impossible_event_cannot_be_made(rate: float, noise: float, steps: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        DpSgdEvent(rate, noise, steps)


def test_an_event_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DpSgdEvent(0.5, 1.0, 3).steps = 1  # type: ignore[misc]


@given(st.lists(events, max_size=12))
def test_merging_keeps_steps_and_mechanisms(history: list[DpEvent]) -> None:
    merged = merge(history)
    assert sum(event.steps for event in merged) == sum(event.steps for event in history)
    assert merge(merged) == merged
    kinds = [
        (type(event), getattr(event, "sampling_rate", 0), getattr(event, "noise_multiplier", 0)) for event in merged
    ]
    assert len(set(kinds)) == len(kinds)


def test_merging_adds_equal_mechanisms_only() -> None:
    history = [DpSgdEvent(0.5, 1.0, 2), UnprotectedEvent(1), DpSgdEvent(0.5, 2.0, 3), DpSgdEvent(0.5, 1.0, 4)]
    assert merge(history) == (DpSgdEvent(0.5, 1.0, 6), UnprotectedEvent(1), DpSgdEvent(0.5, 2.0, 3))
