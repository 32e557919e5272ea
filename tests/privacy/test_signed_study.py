"""A signed study in its file: one digest however it is written down, and nothing but the consortium's own."""

from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privacy.errors import ConfigError, StudyError
from privacy.roster import least_threshold
from privacy.study import Study, dump, load_signed, sign
from tests.privacy.studies import NAMES, study

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(dump(sign(study(), KEY)))
    return path


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
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
