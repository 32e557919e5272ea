import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import ImagingError
from imaging.parameters import Choice, Flag, Integer, Integers, Number, read

KINDS = {
    "depth": Integer(1, 9, 3),
    "kernel": Integer(1, 15, 3, odd=True),
    "rate": Number(0, 1, 0.5),
    "pool": Flag(True),
    "mode": Choice(("area", "bilinear"), "area"),
    "widths": Integers(1, 64, 1, 3, (8,)),
}


def test_defaults_are_filled_in_and_given_values_kept():
    values = read("model 'x'", KINDS, {"depth": 9, "rate": 1, "widths": [1, 64]})
    assert (values.integer("depth"), values.integer("kernel"), values.number("rate")) == (9, 3, 1.0)
    assert values.flag("pool") is True
    assert values.word("mode") == "area"
    assert values.integers("widths") == [1, 64]


@pytest.mark.parametrize(
    "given_values",
    [
        {"depth": 0},
        {"depth": 10},
        {"depth": "3"},
        {"depth": 3.0},
        {"depth": True},
        {"kernel": 4},
        {"rate": math.nan},
        {"rate": math.inf},
        {"rate": True},
        {"pool": 1},
        {"mode": "cubic"},
        {"mode": ["area"]},
        {"widths": []},
        {"widths": [1, 2, 3, 4]},
        {"widths": [0]},
        {"widths": [True]},
        {"widths": [1.0]},
        {"widths": "123"},
        {"widths": 8},
    ],
)
def test_wrong_values_are_refused(given_values):
    with pytest.raises(ImagingError) as caught:
        read("model 'x'", KINDS, given_values)
    assert caught.value.code == "parameters.invalid"
    assert next(iter(given_values)) in str(caught.value)


def test_unknown_and_missing_parameters_are_refused():
    with pytest.raises(ImagingError, match="no parameter 'deph'") as caught:
        read("model 'x'", KINDS, {"deph": 3})
    assert caught.value.code == "parameters.unknown"
    with pytest.raises(ImagingError, match="needs the parameter 'size'") as caught:
        read("model 'x'", {"size": Integer(1, 2)}, {})
    assert caught.value.code == "parameters.missing"


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.floats(), st.text(), st.lists(st.integers()))))
def test_any_data_is_read_or_refused_by_the_typed_error(data):
    try:
        values = read("model 'x'", KINDS, data)
    except ImagingError:
        return
    assert 1 <= values.integer("depth") <= 9


def test_taking_a_parameter_as_another_type_is_our_mistake():
    values = read("model 'x'", KINDS, {})
    with pytest.raises(RuntimeError):
        values.integer("rate")
    with pytest.raises(RuntimeError):
        values.flag("absent")
