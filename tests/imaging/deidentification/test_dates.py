from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.deidentification.dates import shifted

DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@given(DAYS, DAYS, st.integers(1, 36500))
def test_intervals_stay(one, other, days):
    moved = [date.fromisoformat(shifted(f"{day:%Y%m%d}", "DA", days)) for day in (one, other)]
    assert moved[0] - moved[1] == one - other
    assert moved[0] == one - timedelta(days=days)


@pytest.mark.parametrize(
    ("text", "vr", "after"),
    [
        ("20240301", "DA", "20240229"),
        ("2024.03.01", "DA", "20240229"),
        ("20240301101112.123456+0100", "DT", "20240229101112.123456+0100"),
        ("20240301", "DT", "20240229"),
        ("101112.5", "TM", "101112.5"),
        ("10:11:12", "TM", "10:11:12"),
        ("2024", "DT", None),
        ("20241301", "DA", None),
        ("20240301x", "DA", None),
        ("20240301 Jane", "DT", None),
        ("noon, says Jane", "TM", None),
        ("00010101", "DA", None),
    ],
)
def test_days_move_and_what_is_no_date_goes(text, vr, after):
    assert shifted(text, vr, 1) == after
