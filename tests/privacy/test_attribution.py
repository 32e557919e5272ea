import pytest

from privacy import attribution, console
from privacy.errors import ConfigError


def test_who_and_why_are_kept_without_white_space_around_them() -> None:
    assert attribution.checked(" Ada Roe\n", " vote ") == ("Ada Roe", "vote")


def test_nobody_named_is_the_systems_user() -> None:
    assert attribution.who(None) == console.user_name()


@pytest.mark.parametrize(
    ("by", "reason", "option"), [(" ", "x", "--by"), ("x", "", "--reason"), ("x" * 501, "x", "--by")]
)
def test_an_empty_or_endless_text_is_refused_and_named(by: str, reason: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} needs 1 to 500"):
        attribution.checked(by, reason)
