import json

import pytest
from pydantic import ValidationError

from privacy.study import Model
from tests.privacy.studies import study

PIN = "ab" * 32


def model(**changes):
    return Model.model_validate_json(json.dumps({"name": "resnet", "seed": 1, **changes}))


def test_a_study_that_uses_neither_has_the_digest_that_it_always_had():
    assert model().model_dump(mode="json") == {"name": "resnet", "parameters": {}, "seed": 1}
    assert b"pretrained" not in study().canonical()
    assert b"freeze" not in study().canonical()


def test_what_is_used_is_written_and_read_back():
    made = model(pretrained={"sha256": PIN, "rename": {"net.": ""}, "skip": ["head."]}, freeze=["stem."])
    data = made.model_dump(mode="json")
    assert data["pretrained"] == {"sha256": PIN, "rename": {"net.": ""}, "skip": ["head."], "ignore": []}
    assert data["freeze"] == ["stem."]
    assert Model.model_validate_json(json.dumps(data)) == made


def test_a_study_may_name_starting_weights_which_its_digest_pins():
    digests = {
        study(model={"name": "resnet", "seed": 1, **said}).digest()
        for said in ({}, {"pretrained": {"sha256": PIN}}, {"pretrained": {"sha256": "cd" * 32}}, {"freeze": ["a"]})
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrained": {}},
        {"pretrained": {"sha256": PIN[:-1]}},
        {"pretrained": {"sha256": PIN.upper()}},
        {"pretrained": {"sha256": PIN, "path": "x"}},
        {"pretrained": {"sha256": PIN, "skip": [""]}},
        {"pretrained": {"sha256": PIN, "rename": {"": "x"}}},
        {"freeze": [""]},
        {"freeze": ["a b"]},
        {"freeze": "stem"},
    ],
)
def test_anything_else_is_refused(changes):
    with pytest.raises(ValidationError):
        model(**changes)
