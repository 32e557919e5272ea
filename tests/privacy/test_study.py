"""The signed study: strict, one digest however it is written down, and nothing but the consortium's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.errors import ConfigError, StudyError
from privacy.roster import Party, Roster, fingerprint, least_threshold
from privacy.study import Study, context, dump, load_signed, sign
from tests.privacy.studies import NAMES, draft, key, study

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()

TABLE = {
    3: (3, 0, 1),
    4: (3, 1, 1),
    5: (4, 1, 2),
    6: (5, 1, 3),
    7: (5, 2, 2),
    8: (6, 2, 3),
    10: (7, 3, 3),
    16: (11, 5, 5),
    32: (22, 10, 11),
    64: (43, 21, 21),
}
"""protocol.md section 1, by roster size: default threshold, dropouts tolerated, colluding silos tolerated."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(dump(sign(study(), KEY)))
    return path


# ---- the threshold


def roster(silos: int, threshold: int) -> Roster:
    parties = tuple(Party(name=f"silo-{index}", identity=key(index)) for index in range(silos))
    hub = Party(name="hub", identity=key(999))
    return Roster(threshold=threshold, steward="silo-0", aggregator=hub, silos=parties)


@pytest.mark.parametrize(("silos", "row"), TABLE.items())
def test_the_threshold_and_what_it_tolerates_are_those_of_the_protocol(silos: int, row: tuple[int, int, int]) -> None:
    made = roster(silos, least_threshold(silos))
    assert (made.threshold, made.dropouts_tolerated, made.collusion_tolerated) == row


@given(st.integers(4, 64), st.data())
def test_a_higher_threshold_trades_dropouts_for_collusion(silos: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(least_threshold(silos), silos - 1))
    lower, higher = roster(silos, threshold), roster(silos, threshold + 1)
    assert higher.dropouts_tolerated == lower.dropouts_tolerated - 1
    assert lower.collusion_tolerated < higher.collusion_tolerated <= silos - 2


def test_two_silos_have_no_secret_from_each_other() -> None:
    assert (roster(2, 2).dropouts_tolerated, roster(2, 2).collusion_tolerated) == (0, 0)


@pytest.mark.parametrize("silos", range(3, 17))
def test_a_study_below_or_above_its_threshold_is_refused(silos: int) -> None:
    least = least_threshold(silos)
    for threshold in range(silos + 2):
        if least <= threshold <= silos:
            assert study(silos, threshold).roster.threshold == threshold
        else:
            with pytest.raises(ValidationError, match="threshold must be"):
                study(silos, threshold)


@given(st.integers(3, 64))
def test_two_disjoint_groups_of_honest_silos_cannot_both_reach_the_threshold(silos: int) -> None:
    threshold = least_threshold(silos)
    colluding = roster(silos, threshold).collusion_tolerated
    assert colluding >= 1
    assert 2 * (threshold - colluding) > silos - colluding


# ---- strictness


def parsed(data: dict[str, Any]) -> Study:
    return Study.model_validate_json(json.dumps(data))


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


# ---- the digest

weights = st.floats(0.01, 100, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ") | st.just("\n"), max_size=60)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    silos = draw(st.integers(3, 8))
    return study(
        silos,
        least_threshold(silos),
        description=draw(texts),
        training={
            "rounds": draw(st.integers(1, 10_000)),
            "local_steps": draw(st.integers(1, 1_000)),
            "learning_rate": draw(st.floats(1e-6, 100)),
        },
        aggregation={"weights": draw(st.just({}) | st.fixed_dictionaries(dict.fromkeys(NAMES[:silos], weights)))},
        transforms=[{"name": "resize", "parameters": {"size": draw(st.integers(1, 512)), "yes": draw(st.booleans())}}],
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(studies())
def test_writing_and_reading_keeps_the_digest(tmp_path: Path, made: Study) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(dump(sign(made, KEY)), encoding="utf-8")
    read = load_signed(path, PUBLIC)
    assert read == made
    assert read.digest() == made.digest()


def test_the_digest_does_not_depend_on_the_order_of_keys(file: Path) -> None:
    data = yaml.safe_load(file.read_text())
    backwards = {"signature": data["signature"], "study": dict(reversed(data["study"].items()))}
    file.write_text(yaml.safe_dump(backwards, sort_keys=False))
    assert load_signed(file, PUBLIC).digest() == study().digest()


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


def test_the_order_of_silos_is_part_of_the_roster() -> None:
    data = draft()
    data["roster"]["silos"].reverse()
    assert parsed(data).roster.digest() != study().roster.digest()
    assert parsed(data).roster.code != study().roster.code


def test_the_roster_code_is_short_and_says_nothing_else() -> None:
    code = study().roster.code
    assert len(code) == 9
    assert code[4] == "-"
    assert set(code) - {"-"} <= set("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")


def test_a_fingerprint_is_sixteen_groups_of_four() -> None:
    groups = fingerprint(bytes(32)).split(" ")
    assert [len(group) for group in groups] == [4] * 16
    assert fingerprint(bytes(32)) != fingerprint(b"\1" * 32)


def test_indices_count_from_one_and_strangers_have_none() -> None:
    assert [study().roster.index(name) for name in NAMES[:3]] == [1, 2, 3]
    with pytest.raises(StudyError) as caught:
        study().roster.index("stranger")
    assert caught.value.code == "study.not_on_roster"


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


# ---- signatures


def refusal(path: Path, public: bytes = PUBLIC) -> str:
    with pytest.raises((StudyError, ConfigError)) as caught:
        load_signed(path, public)
    return caught.value.code


def test_a_signed_study_is_read(file: Path) -> None:
    assert load_signed(file, PUBLIC) == study()


def test_an_unsigned_study_is_refused(file: Path) -> None:
    data = yaml.safe_load(file.read_text())
    for unsigned in ({"study": data["study"]}, data["study"]):
        file.write_text(yaml.safe_dump(unsigned))
        assert refusal(file) == "study.unsigned"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("rounds: 20", "rounds: 21"),
        ("epsilon: 8.0", "epsilon: 8.5"),
        ("label: opacity", "label: other"),
        ("0.25", "0.26"),
    ],
)
def test_an_altered_study_is_refused(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    assert refusal(file) == "study.altered"


def test_a_study_of_another_consortium_is_refused(file: Path) -> None:
    other = Ed25519PrivateKey.generate()
    assert refusal(file, other.public_key().public_bytes_raw()) == "study.foreign_signature"
    file.write_text(dump(sign(study(), other)))
    assert refusal(file) == "study.foreign_signature"


def test_a_foreign_signature_under_our_keys_name_is_refused(file: Path) -> None:
    forged = sign(study(), Ed25519PrivateKey.generate()).model_dump(mode="json")
    forged["signature"]["key"] = PUBLIC.hex()
    file.write_text(yaml.safe_dump(forged))
    assert refusal(file) == "study.altered"


def test_a_signature_over_other_bytes_of_the_consortium_is_refused(file: Path) -> None:
    data = sign(study(), KEY).model_dump(mode="json")
    data["signature"]["ed25519"] = KEY.sign(study().canonical()).hex()
    file.write_text(yaml.safe_dump(data))
    assert refusal(file) == "study.altered"


def test_an_unknown_key_is_named_with_its_line(file: Path) -> None:
    text = file.read_text().replace("  training:\n", "  training:\n    warmup: 3\n")
    line = text.splitlines().index("    warmup: 3") + 1
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"study\.yaml line {line}: unknown key 'study\.training\.warmup'"):
        load_signed(file, PUBLIC)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read study\.yaml"):
        load_signed(tmp_path / "study.yaml", PUBLIC)


@pytest.mark.parametrize(("slot", "deadline", "fits"), [(0, 5, True), (2, 5, True), (3, 5, False), (150, 300, True)])
def test_an_upload_slot_fits_the_deadline_twice(slot: int, deadline: int, fits: bool) -> None:
    changed = {"aggregation": {"upload_slot_seconds": slot, "round_deadline_seconds": deadline}}
    if fits:
        assert study(**changed).aggregation.upload_slot_seconds == slot
    else:
        with pytest.raises(ValidationError, match="at most half"):
            study(**changed)
