"""The aggregator's memory does not grow with the model: under 250 MB for 7 million parameters and 3 silos."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from silo_node.rounds.global_model import GlobalModel
from tests.architecture.served import served
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all

PARAMETERS = 7_000_000
LIMIT_BYTES = 250 * 10**6


@pytest.mark.slow
def test_seven_million_parameters_of_three_silos_fit_in_250_megabytes(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=1, ring="large", parameters=PARAMETERS)
    with served(federation) as aggregator:
        agents = [federation.agent(index, aggregator.port) for index in (1, 2, 3)]
        results = run_all(agents, timeout=150)
        peak = aggregator.peak_bytes
    finals: list[NDArray[np.float64]] = [r.optimizer.weights for r in results if isinstance(r, GlobalModel)]
    assert len(finals) == 3, results
    assert all(weights.size == PARAMETERS for weights in finals)
    print(f"peak of the aggregator: {peak / 1e6:.0f} MB")
    assert peak < LIMIT_BYTES
