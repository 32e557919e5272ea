import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.sheets.distribution import BINS, Distribution

finite = st.floats(-1e12, 1e12)


@given(st.lists(st.lists(finite, min_size=1, max_size=20), min_size=1, max_size=6))
def test_nothing_is_lost_and_memory_is_bounded(images):
    found = Distribution()
    for values in images:
        found.add(np.array(values))
        assert len(found._bins) <= BINS
    bars = found.bars()
    assert sum(bars.heights) + bars.below + bars.above == pytest.approx(1)
    assert 1 <= len(bars.heights) <= 64
    assert bars.below <= 0.001 + 1e-9
    whole = found.bars(beyond=0.0)
    assert whole.below == whole.above == 0
    low, high = min(map(min, images)), max(map(max, images))
    assert whole.start <= low
    assert high < whole.start + whole.width * len(whole.heights) or np.isclose(high, low)


def test_each_image_weighs_the_same():
    found = Distribution()
    found.add(np.zeros(1000))
    found.add(np.array([100.0]))
    heights = found.bars(beyond=0.0).heights
    assert (heights[0], heights[-1]) == (0.5, 0.5)


def test_whole_numbers_are_not_drawn_as_a_comb():
    found = Distribution()
    found.add(np.arange(50, dtype=np.int16).repeat(10))
    assert all(found.bars(beyond=0.0).heights)


def test_a_few_far_values_do_not_squeeze_the_rest():
    found = Distribution()
    found.add(np.concatenate([np.random.default_rng(1).normal(size=100_000), [3000.0]]))
    bars = found.bars()
    assert bars.start + bars.width * len(bars.heights) < 10
    assert bars.above > 0


def test_a_distribution_of_nothing_is_a_mistake():
    with pytest.raises(RuntimeError):
        Distribution().bars()
