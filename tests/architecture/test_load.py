"""That the machine is busy fails no test: no generated example has a deadline."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=1)
@given(nothing=st.none())
def test_an_example_may_take_longer_than_hypothesis_allows_by_default(nothing: None) -> None:
    time.sleep(0.25)
