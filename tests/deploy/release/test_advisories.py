import json

import pytest

from deploy.release import advisories
from deploy.release.advisories import Answer


def package(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": "1.0", **more}


def answer(*packages: dict[str, object]) -> Answer:
    return Answer.read(json.dumps({"dependencies": packages, "fixes": []}))


CLEAN = package("numpy", vulns=[])
FLAWED = package("torch", vulns=[{"id": "PYSEC-2026-1", "fix_versions": ["2.0"]}])
UNKNOWN = {"name": "tenseal", "skip_reason": "not found"}


def test_a_known_vulnerability_fails_and_is_named() -> None:
    code, lines = answer(CLEAN, FLAWED).verdict(required=False)
    assert code == 1
    assert lines[0] == "torch 1.0: PYSEC-2026-1"


def test_what_is_accepted_with_a_reason_passes() -> None:
    assert answer(CLEAN, FLAWED).verdict(required=True, accepted={"PYSEC-2026-1": "not used"})[0] == 0


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 2)])
def test_a_database_that_knows_nothing_is_not_a_clean_one(required: bool, code: int) -> None:
    found, lines = answer(UNKNOWN).verdict(required)
    assert found == code
    assert "NOTHING WAS CHECKED" in lines[0]


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 2)])
def test_packages_that_are_not_known_are_counted(required: bool, code: int) -> None:
    found, lines = answer(CLEAN, UNKNOWN).verdict(required)
    assert found == code
    assert "1 packages checked, 1 not known there" in lines[0]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"dependencies": [{}]}', '{"dependencies": [{"vulns": [{"id": 1}]}]}']
)
def test_what_is_not_an_answer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pip-audit|Expecting"):
        Answer.read(text)


def test_every_accepted_advisory_has_a_reason() -> None:
    assert all(reason.strip() for reason in advisories.ACCEPTED.values())
