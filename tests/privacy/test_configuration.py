"""Configuration is plain, known and complete, or refused with the line to look at."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.configuration import MAX_BYTES, Strict, load, parse
from privacy.errors import ConfigError


class Inner(Strict):
    rate: float
    names: tuple[str, ...] = ()


class Outer(Strict):
    count: int
    inner: Inner
    flag: bool = False


GOOD = b"count: 3\ninner:\n  rate: 0.5\n  names: [a, b]\n"


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(data, Outer, name="silo.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_what_fits_is_read() -> None:
    assert parse(GOOD, Outer, name="silo.yaml") == Outer(count=3, inner=Inner(rate=0.5, names=("a", "b")))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("count: 3\ncolour: red\ninner:\n  rate: 1.0\n", 2, "unknown key 'colour'"),
        ("count: 3\ninner:\n  rate: 1.0\n  ratte: 2.0\n", 4, "unknown key 'inner.ratte'"),
        ("count: 3\ninner:\n  rate: 1.0\ncount: 4\n", 4, "duplicate"),
        ("count: 3\ninner:\n  rate: 1.0\n  rate: 1.0\n", 4, "duplicate"),
        ("count: 3\ninner:\n  rate: fast\n", 3, "inner.rate"),
        ("count: 3.5\ninner:\n  rate: 1.0\n", 1, "count"),
        ("count: '3'\ninner:\n  rate: 1.0\n", 1, "count"),
        ("count: yes\ninner:\n  rate: 1.0\n", 1, "count"),
        ("count: 3\nflag: 1\ninner:\n  rate: 1.0\n", 2, "flag"),
        ("count: 3\ninner:\n  rate: 1.0\n  names: [a, 7]\n", 4, "inner.names.1"),
        ("count: 3\n", 1, "inner"),
        ("count: 3\ninner: {}\n", 2, "inner.rate"),
        ("? [a]\n: 1\n", 1, "unusable key"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line(text: str, line: int, what: str) -> None:
    message = refusal(text.encode())
    assert f"silo.yaml line {line}:" in message
    assert what in message


def test_a_misspelt_key_is_named_beside_the_one_that_is_missing_for_it() -> None:
    message = refusal(b"count: 3\ninner:\n  ratte: 1.0\n")
    assert "silo.yaml line 3: unknown key 'inner.ratte'; remove it or correct its spelling; line 2: " in message
    assert message.endswith("the key 'inner.rate' is missing")


def test_everything_that_is_wrong_is_said_and_bounded() -> None:
    message = refusal(b"count: x\nflag: x\ninner:\n  rate: x\n")
    assert all(f"line {line}: {key}: " in message for line, key in ((1, "count"), (2, "flag"), (4, "inner.rate")))
    many = refusal(GOOD + b"".join(b"key%d%s: 1\n" % (number, b"x" * 500) for number in range(1000)))
    assert many.endswith("; and 995 more")
    assert many.count("unknown key") == 5
    assert len(many) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "base: &a {rate: 1.0}\ncount: 3\ninner: *a\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "count: 3\ninner: &loop\n  rate: 1.0\n  more: *loop\n",
    ],
)
def test_aliases_are_refused(text: str) -> None:
    assert "not valid YAML" in refusal(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "count: !!python/object/apply:os.system ['true']\ninner:\n  rate: 1.0\n",
        "!!python/object:os.system\ncount: 3\n",
        "count: !custom 3\ninner:\n  rate: 1.0\n",
        "count: !!int three\ninner:\n  rate: 1.0\n",
        "count: !!binary aGk=\ninner:\n  rate: 1.0\n",
        "count: !!set {3}\ninner:\n  rate: 1.0\n",
    ],
)
def test_tags_never_become_objects(text: str) -> None:
    refusal(text.encode())


@pytest.mark.parametrize("rate", [".nan", ".inf", "-.inf", "2026-01-01"])
def test_values_that_are_not_plain_data_are_refused(rate: str) -> None:
    refusal(f"count: 3\ninner:\n  rate: {rate}\n".encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"# only a comment\n", b"[1, 2]\n", b"word\n", b"\xff\xfe", b"a: [1\n", b"--- 1\n--- 2\n", b"a:\tb: c"],
)
def test_what_is_no_mapping_is_refused(data: bytes) -> None:
    refusal(data)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    refusal(text.encode())


def test_a_huge_file_is_refused_before_it_is_parsed() -> None:
    assert "larger than" in refusal(b"a" * (MAX_BYTES + 1))


def test_the_value_of_a_wrong_entry_is_not_repeated() -> None:
    """It may be a secret in the wrong place, or a patient's name."""
    assert "hunter2" not in refusal(b"count: hunter2\ninner:\n  rate: 1.0\n")


@pytest.mark.parametrize(
    "text",
    [
        '{"count": 3, "inner": {"rate": 1.0}, "\\u001b]52;c;eA==\\u0007": 1}',
        'count: 3\ninner:\n  rate: 1.0\n  "\\e[2J\\u202e": 1\n',
    ],
)
def test_a_key_of_a_stranger_does_not_speak_to_the_terminal(text: str) -> None:
    message = refusal(text.encode())
    assert "unknown key" in message
    assert message.isprintable()


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse(data, Outer, name="silo.yaml")


@given(st.text(st.sampled_from("abc:- \n[]{}&*!?|>'\"#%@,0.1"), max_size=80))
def test_yaml_like_garbage_never_raises_anything_else(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text.encode(), Outer, name="silo.yaml")


def test_a_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "silo.yaml", Outer)
    assert "silo.yaml" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ConfigError):
        load(tmp_path, Outer)


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Inner(rate=1.0).rate = 2.0  # type: ignore[misc]


def test_a_file_of_any_size_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "silo.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="larger than"):
        load(path, Outer)
