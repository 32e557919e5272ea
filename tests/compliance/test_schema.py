import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from compliance import schema
from compliance.evidence import gather
from compliance.report import build
from compliance.studies import Accountants
from privacy.errors import CorruptState
from tests.compliance.evidence import Consortium
from tests.compliance.test_bundle import AT


def test_the_file_is_up_to_date_and_a_schema() -> None:
    assert json.loads(schema.FILE.read_bytes()) == schema.schema()
    Draft202012Validator.check_schema(schema.schema())


@pytest.fixture
def record(trained: Consortium, accountants: Accountants) -> Any:
    return json.loads(build(gather(trained.root), accountants, AT).canonical())


def test_records_have_its_form(record: Any, consortium: Consortium, accountants: Accountants) -> None:
    schema.validate(record)
    consortium.protected = False
    consortium.approve("alpha")
    consortium.train("alpha", 9)
    unprotected = build(gather(consortium.root), accountants, AT, previous=record)
    schema.validate(json.loads(unprotected.canonical()))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda record: record.update(more=1), r"\$"),
        (lambda record: record.pop("clauses"), r"\$"),
        (lambda record: record.update(format="collegium-report/2"), "format"),
        (lambda record: record["summary"].update(spent="much"), "summary.spent"),
        (lambda record: record["silos"][0]["cohorts"][0]["events"][0].update(mechanism="magic"), "events"),
        (lambda record: record["silos"][0]["cohorts"][0].update(rounds=1.5), "rounds"),
    ],
)
def test_anything_else_is_refused_with_its_place(record: Any, change: Any, where: str) -> None:
    change(record)
    with pytest.raises(CorruptState, match=where):
        schema.validate(record)
