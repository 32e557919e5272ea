"""The server optimiser against a plain reference, and what must hold for any update."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from privacy.study import Aggregation
from silo_node.rounds.server_optimizer import OptimizerState, step

SIZE = 5
vectors = arrays.arrays(np.float64, SIZE, elements=st.floats(-10, 10))
updates = st.lists(vectors, min_size=1, max_size=6)
rates = st.floats(0.01, 2)
decays = st.floats(0, 0.99)


def run(start: NDArray[np.float64], given: list[NDArray[np.float64]], aggregation: Aggregation) -> OptimizerState:
    state = OptimizerState.initial(start)
    for update in given:
        state = step(state, update, aggregation)
    return state


def reference(start: NDArray[np.float64], given: list[NDArray[np.float64]], aggregation: Aggregation) -> list[float]:
    """One number at a time, as Reddi et al. (2021) write it: algorithm 2, without bias correction."""
    result = []
    for position in range(SIZE):
        weight, first, second = float(start[position]), 0.0, 0.0
        for update in (float(vector[position]) for vector in given):
            if aggregation.optimizer == "sgd":
                direction = update
            elif aggregation.optimizer == "momentum":
                first = aggregation.momentum * first + update
                direction = first
            else:
                first = aggregation.momentum * first + (1 - aggregation.momentum) * update
                second = 0.99 * second + 0.01 * update * update
                direction = first / (math.sqrt(second) + 1e-3)
            weight += aggregation.learning_rate * direction
        result.append(weight)
    return result


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@given(start=vectors, given_updates=updates, rate=rates, decay=decays)
def test_it_is_the_plain_reference(optimizer, start, given_updates, rate, decay) -> None:  # type: ignore[no-untyped-def]
    aggregation = Aggregation(optimizer=optimizer, learning_rate=rate, momentum=decay)
    state = run(start, given_updates, aggregation)
    np.testing.assert_allclose(state.weights, reference(start, given_updates, aggregation), rtol=1e-9, atol=1e-9)
    assert state.steps == len(given_updates)


@given(vectors, updates)
def test_momentum_without_decay_is_plain(start: NDArray[np.float64], given_updates: list[NDArray[np.float64]]) -> None:
    momentum = run(start, given_updates, Aggregation(optimizer="momentum", momentum=0.0))
    plain = run(start, given_updates, Aggregation())
    np.testing.assert_array_equal(momentum.weights, plain.weights)


@given(vectors, vectors, rates)
def test_the_first_adam_step_is_bounded_by_its_rate(
    start: NDArray[np.float64], update: NDArray[np.float64], rate: float
) -> None:
    state = run(start, [update], Aggregation(optimizer="adam", learning_rate=rate, momentum=0.9))
    assert (np.abs(state.weights - start) <= rate + 1e-9).all()


@given(vectors, updates, st.floats(0.01, 0.999))
def test_the_average_stays_between_the_models_it_averages(
    start: NDArray[np.float64], given_updates: list[NDArray[np.float64]], decay: float
) -> None:
    aggregation = Aggregation(average_decay=decay)
    state, seen = OptimizerState.initial(start), [start]
    for update in given_updates:
        state = step(state, update, aggregation)
        seen.append(state.weights)
    assert (state.average <= np.max(seen, axis=0) + 1e-9).all()
    assert (state.average >= np.min(seen, axis=0) - 1e-9).all()


def test_the_average_follows_its_formula() -> None:
    aggregation = Aggregation(average_decay=0.5)
    state = run(np.zeros(1), [np.ones(1)], aggregation)
    assert state.average[0] == pytest.approx(10 / 11)
    for _ in range(50):
        state = step(state, np.zeros(1), aggregation)
    assert state.average[0] == pytest.approx(1.0)


def test_what_is_released_is_the_average_only_if_the_study_keeps_one() -> None:
    state = run(np.zeros(2), [np.ones(2)], Aggregation(average_decay=0.9))
    assert state.released(Aggregation(average_decay=0.9)) is state.average
    assert state.released(Aggregation()) is state.weights


@given(vectors, updates)
def test_a_step_changes_nothing_that_it_was_given(
    start: NDArray[np.float64], given_updates: list[NDArray[np.float64]]
) -> None:
    before, copies = start.copy(), [update.copy() for update in given_updates]
    run(start, given_updates, Aggregation(optimizer="adam", average_decay=0.9))
    np.testing.assert_array_equal(start, before)
    for update, copy in zip(given_updates, copies, strict=True):
        np.testing.assert_array_equal(update, copy)


@pytest.mark.parametrize("update", [np.zeros(SIZE - 1), np.full(SIZE, np.nan), np.array([0, 0, 0, 0, np.inf])])
def test_an_update_that_does_not_fit_is_refused(update: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="finite"):
        step(OptimizerState.initial(np.zeros(SIZE)), update, Aggregation())
