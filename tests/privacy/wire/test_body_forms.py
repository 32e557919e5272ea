"""The form of a body leaves no field out: what a kind has in the protocol it has as a value, and each has a form."""

import dataclasses
from typing import Any, get_args

import pytest

from privacy.wire import bodies
from privacy.wire.body_forms import FORMS


def test_each_kind_that_is_signed_has_a_form() -> None:
    assert set(FORMS) == set(get_args(bodies.Body))


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_a_form_has_as_many_fields_as_the_value(kind: Any) -> None:
    _, wire, _ = FORMS[kind]
    assert len(wire.DESCRIPTOR.fields) == len(dataclasses.fields(kind))
    assert wire.DESCRIPTOR.name == kind.__name__
