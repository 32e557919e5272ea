"""How the opened sum becomes the next global model: the same arithmetic at every silo.

Only silos hold the model, so the "server" optimiser of federated averaging runs at each of them,
on public state. FedAvg (McMahan et al. 2017) with plain, momentum or Adam steps (Reddi et al.
2021, "Adaptive Federated Optimization"), and an exponential moving average of the models. Pure
functions on float64 vectors of shape (P,).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from privacy.study import Aggregation

ADAM_SECOND_DECAY = 0.99
ADAM_FLOOR = 1e-3
"""beta_2 and tau of FedAdam as in Reddi et al., section 5."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class OptimizerState:
    """Weights, their moving average and the optimiser's moments, all (P,) float64; `steps` taken.

    What the study's optimiser does not keep is empty, shape (0,): it is neither in memory nor written every round.
    """

    weights: Vector
    average: Vector
    first: Vector
    second: Vector
    steps: int

    @classmethod
    def initial(cls, weights: Vector) -> "OptimizerState":
        """The state before the first round."""
        none = np.empty(0)
        return cls(weights, none, none, none, 0)

    def released(self, aggregation: Aggregation) -> Vector:
        """The vector that is evaluated and exported: the average if the study keeps one."""
        return self.average if aggregation.average_decay and self.average.size else self.weights


def step(state: OptimizerState, mean_update: Vector, aggregation: Aggregation) -> OptimizerState:
    """Apply the mean of the silos' updates.

    Raises:
        ValueError: the update has another shape or is not finite.
    """
    if mean_update.shape != state.weights.shape or not np.isfinite(mean_update).all():
        raise ValueError("the mean update must be finite and as long as the model")
    rate, decay = aggregation.learning_rate, aggregation.momentum
    first, second = state.first, state.second
    if aggregation.optimizer == "sgd":
        direction = mean_update
    elif aggregation.optimizer == "momentum":
        first = direction = decay * _kept(first, mean_update) + mean_update
    else:
        first = decay * _kept(first, mean_update) + (1 - decay) * mean_update
        second = ADAM_SECOND_DECAY * _kept(second, mean_update) + (1 - ADAM_SECOND_DECAY) * mean_update**2
        direction = first / (np.sqrt(second) + ADAM_FLOOR)
    weights = rate * direction
    weights += state.weights
    steps, average = state.steps + 1, state.average
    if aggregation.average_decay:
        # The average is corrected for its start, so that early rounds are not held at the initial model.
        keep = min(aggregation.average_decay, steps / (steps + 10))
        average = keep * (average if average.size else state.weights) + (1 - keep) * weights
    return replace(state, weights=weights, average=average, first=first, second=second, steps=steps)


def _kept(moment: Vector, like: Vector) -> Vector:
    """A moment, or zeros before its first step."""
    return moment if moment.size else np.zeros_like(like)
