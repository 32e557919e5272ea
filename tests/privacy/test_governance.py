import json

import pytest
from pydantic import ValidationError

from privacy.governance import Governance
from tests.privacy.studies import study


def test_it_is_signed_when_it_is_there_and_changes_nothing_when_not() -> None:
    bare = study()
    assert b"governance" not in bare.canonical()
    told = bare.model_copy(update={"governance": Governance(ethics_approval="IRB 2026-17")})
    assert b"IRB 2026-17" in told.canonical()
    assert told.digest() != bare.digest()


@pytest.mark.parametrize(
    "wrong",
    [
        {"controller": "a\nb"},
        {"controller": "x" * 501},
        {"contacts": ["a\x00"]},
        {"contacts": ["x"] * 21},
        {"boss": "x"},
    ],
)
def test_only_printable_lines_of_known_names_are_taken(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Governance.model_validate_json(json.dumps(wrong))
