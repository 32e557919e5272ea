"""Joins a cohort, a network and the private trainer: what a silo does with its images in a study.

The only module of `silo_node` that trains. It decides nothing about budget or network: it trains when it is told to
and hands out only a `PrivateUpdate` and metric counts.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.networks import building
from imaging.tasks import evaluation
from privacy.dp.gradients import model_vector, set_vector, tensor_shapes
from privacy.dp.preflight import PreflightReport, preflight
from privacy.dp.training import PatientTrainer
from privacy.errors import DataError
from privacy.randomness import SecureStream
from privacy.study import Study
from privacy.update import PrivateUpdate, UpdateLayout
from silo_node.imaging_errors import imaging_errors
from silo_node.learning import layout, tasks
from silo_node.learning.examples import Examples, StoredCohort
from silo_node.learning.transformed import TransformedImages


class Learner:
    """One study's learning on one cohort.

    Args:
        study: the approved study.
        cohort: the silo's de-identified cohort.
        stream: the silo's CSPRNG.
        disk: for images that do not fit into memory.
        weights: file of the weights that the study starts from, if it does.

    Raises:
        ConfigError: the study starts from a file that is not there.
        DataError: the model, transforms, starting weights or cohort cannot be used.
    """

    def __init__(
        self,
        study: Study,
        cohort: StoredCohort,
        stream: SecureStream,
        disk: TransformedImages,
        weights: Path | None = None,
    ) -> None:
        self._study = study
        self._weights = weights
        self._task = tasks.task(study)
        self._network = tasks.network(study, weights)
        self._pipeline = tasks.transforms(study)
        window = study.evaluation.window
        with imaging_errors():
            building.check(self._network, self._pipeline.shape, self._task.problem)
            if window is not None:
                building.check(self._network, (1, *window), self._task.problem)
        training = Examples(cohort.patients("train"), self._pipeline, self._task, disk)
        self._held_out = Examples(cohort.patients(study.evaluation.split), self._pipeline, self._task, disk)
        if not len(training):
            raise DataError("the cohort has no patient to train on; check the split column of its labels")
        self._trainer = PatientTrainer(self._network, self._task.loss, training, study.privacy, study.training, stream)
        self.layout = UpdateLayout(tensor_shapes(self._network), layout.metric_fields(study))

    def initial_vector(self) -> NDArray[np.float64]:
        """The public initial weights, (P,) float64; call before the first round."""
        return model_vector(tasks.network(self._study, self._weights))

    def preflight(self) -> PreflightReport:
        """The four checks of the privacy guarantee on made data. Raises PreflightFailed."""
        shape = self._pipeline.shape
        return preflight(
            tasks.network(self._study, self._weights),
            self._task.loss,
            shape,
            self._study.privacy.clip,
            self._task.examples(shape[1:]),
        )

    def train(self, weights: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        """One round of private local training from the global weights."""
        return self._trainer.train_round(weights, round_number)

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Metric counts of the held-out patients under these weights; all zero when there are none."""
        if not len(self._held_out):
            return np.zeros(self.layout.metric_fields, np.int64)
        set_vector(self._network, weights)
        with imaging_errors():
            results = evaluation.evaluate(self._task, self._network, self._held_out, self._study.evaluation.window)
            return self._task.counts(results, self._study.evaluation.bins)
