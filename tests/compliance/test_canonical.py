import hashlib
import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from compliance.canonical import canonical, digest
from privacy.digest import Json

EXACT = 2**53 - 1
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-EXACT, EXACT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_another_implementation_gives_the_same_bytes(value: Json) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert canonical(json.loads(canonical(value))) == canonical(value)


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1e21, 1e20, 9.99e20, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, 0.1, 8.0]
)
def test_numbers_are_written_as_the_standard_has_them(number: float) -> None:
    assert canonical([number, -number]) == rfc8785.dumps([number, -number])


@pytest.mark.parametrize(
    "refused", [math.inf, math.nan, 2**53 + 1, -(2**60) - 1, 10**400, 10**21, {"a": [math.inf]}, "\ud800"]
)
def test_what_is_not_exact_is_refused(refused: Json) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        canonical(refused)


def test_the_digest_is_that_of_the_bytes() -> None:
    assert digest({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
