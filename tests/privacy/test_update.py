import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from privacy.dp.events import DpSgdEvent, UnprotectedEvent
from privacy.update import PrivateUpdate, UpdateLayout

EVENT = DpSgdEvent(0.25, 1.5, 1)
LAYOUT = UpdateLayout((("conv.weight", (4, 1, 3, 3)), ("conv.bias", (4,)), ("scale", ())), 130)


def test_a_layout_counts_its_values() -> None:
    assert (LAYOUT.sizes, LAYOUT.parameters, LAYOUT.length) == ((36, 4, 1), 41, 174)
    fields = range(LAYOUT.length)
    assert (fields[LAYOUT.model], fields[LAYOUT.metrics], fields[LAYOUT.saturated]) == (
        range(41),
        range(41, 171),
        range(171, 174),
    )
    assert UpdateLayout((), 0).length == 0


def test_a_layout_larger_than_32_bits_is_counted() -> None:
    assert UpdateLayout((("huge", (2**20, 2**20)),), 0).parameters == 2**40


@pytest.mark.parametrize(
    "other",
    [
        UpdateLayout((("conv.weight", (4, 1, 9)), ("conv.bias", (4,)), ("scale", ())), 130),
        UpdateLayout((("conv.bias", (4,)), ("conv.weight", (4, 1, 3, 3)), ("scale", ())), 130),
        UpdateLayout((("conv.w", (4, 1, 3, 3)), ("conv.bias", (4,)), ("scale", ())), 130),
        UpdateLayout((("conv.weight", (4, 1, 3, 3)), ("conv.bias", (4,)), ("scale", (1,))), 130),
        UpdateLayout(LAYOUT.tensors, 131),
    ],
)
def test_the_digest_covers_names_shapes_order_and_metrics(other: UpdateLayout) -> None:
    assert len(LAYOUT.digest()) == 32
    assert other.digest() != LAYOUT.digest()
    assert UpdateLayout(LAYOUT.tensors, 130).digest() == LAYOUT.digest()


def test_an_update_is_consumed_once() -> None:
    vector = np.arange(3.0)
    update = PrivateUpdate(vector, EVENT, 4)
    assert (update.size, update.event, update.round_number) == (3, EVENT, 4)
    np.testing.assert_array_equal(update.consume(), [0, 1, 2])
    with pytest.raises(RuntimeError, match="already sent"):
        update.consume()
    assert update.size == 3


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_update_is_never_copied(duplicate: Callable[[PrivateUpdate], object]) -> None:
    with pytest.raises(TypeError, match="never copied"):
        duplicate(PrivateUpdate(np.arange(3.0), EVENT, 4))


@pytest.mark.parametrize(
    "vector",
    [np.zeros(3, np.float32), np.zeros((3, 1)), np.array([0.0, np.nan]), np.array([np.inf]), np.zeros(3, np.int64)],
)
def test_what_is_not_a_finite_float64_vector_is_no_update(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite float64 vector"):
        PrivateUpdate(vector, UnprotectedEvent(1), 1)
