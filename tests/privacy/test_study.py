"""A study: strict, and bound to all that it says by its digest."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from privacy.study import context
from tests.privacy.studies import NAMES, draft, key, parsed, study


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(surprise=1),
        lambda d: d["roster"].update(surprise=1),
        lambda d: d["roster"]["silos"][0].update(surprise=1),
        lambda d: d["privacy"].update(surprise=1),
        lambda d: d.update(format="collegium-study/2"),
        lambda d: d.update(name="Trial"),
        lambda d: d.update(name="../trial"),
        lambda d: d.update(description="bell\x07"),
        lambda d: d.update(transforms=[]),
        lambda d: d["model"].update(_target_="os.system"),
        lambda d: d["model"].update(seed=-1),
        lambda d: d["model"].update(parameters={"nested": {"no": 1}}),
        lambda d: d["task"].update(kind="anything"),
        lambda d: d["training"].update(rounds=0),
        lambda d: d["training"].update(rounds="20"),
        lambda d: d["training"].update(rounds=2.5),
        lambda d: d["privacy"].update(sampling_rate=0.0),
        lambda d: d["privacy"].update(sampling_rate=1.1),
        lambda d: d["privacy"].update(epsilon=None),
        lambda d: d["privacy"].update(delta=None),
        lambda d: d["privacy"].update(delta=0.5),
        lambda d: d["privacy"].update(mechanism="none"),
        lambda d: d["privacy"].update(clip=0),
        lambda d: d["roster"].update(steward="hub"),
        lambda d: d["roster"].update(epoch=0),
        lambda d: d["roster"]["silos"][0].update(identity="ab" * 31),
        lambda d: d["roster"]["silos"][0].update(identity="AB" * 32),
        lambda d: d["roster"]["silos"][1].update(name=NAMES[0]),
        lambda d: d["roster"]["silos"][1].update(identity=key(0)),
        lambda d: d["roster"]["aggregator"].update(identity=key(0)),
        lambda d: d.update(aggregation={"weights": {NAMES[0]: 1.0}}),
        lambda d: d.update(aggregation={"weights": dict.fromkeys((*NAMES[:3], "stranger"), 1.0)}),
        lambda d: d.update(aggregation={"weights": {NAMES[0]: 0.0, NAMES[1]: 1.0, NAMES[2]: 1.0}}),
        lambda d: d.update(aggregation={"round_deadline_seconds": 4}),
        lambda d: d.update(encryption={"ring": "medium"}),
    ],
)
def test_what_is_not_a_study_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(json.dumps(draft()))
    parsed(data)
    change(data)
    with pytest.raises(ValidationError):
        parsed(data)


def test_a_study_is_frozen() -> None:
    with pytest.raises(ValidationError):
        study().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "trial-2"},
        {"description": "x"},
        {"training": {"rounds": 21, "local_steps": 1, "learning_rate": 0.5}},
        {"evaluation": {"split": "val"}},
        {"encryption": {"ring": "large"}},
    ],
)
def test_every_change_changes_the_digest(changes: dict[str, Any]) -> None:
    assert study(**changes).digest() != study().digest()


def test_weights_are_relative_to_the_largest() -> None:
    assert study().weight(NAMES[0]) == 1.0
    weighted = study(aggregation={"weights": {NAMES[0]: 1.0, NAMES[1]: 4.0, NAMES[2]: 2.0}})
    assert [weighted.weight(name) for name in NAMES[:3]] == [0.25, 1.0, 0.5]


def test_a_context_depends_on_all_that_a_round_is_bound_to() -> None:
    fields: list[Any] = [study(), b"k" * 32, b"p" * 32, b"l" * 32, 1, b"c" * 32]
    others: list[Any] = [study(name="other"), b"K" * 32, b"P" * 32, b"L" * 32, 2, b"C" * 32]
    seen = {context(*fields)}
    for position, other in enumerate(others):
        seen.add(context(*fields[:position], other, *fields[position + 1 :]))
    assert len(seen) == 7


@pytest.mark.parametrize(("slot", "deadline", "fits"), [(0, 5, True), (2, 5, True), (3, 5, False), (150, 300, True)])
def test_an_upload_slot_fits_the_deadline_twice(slot: int, deadline: int, fits: bool) -> None:
    changed = {"aggregation": {"upload_slot_seconds": slot, "round_deadline_seconds": deadline}}
    if fits:
        assert study(**changed).aggregation.upload_slot_seconds == slot
    else:
        with pytest.raises(ValidationError, match="at most half"):
            study(**changed)
