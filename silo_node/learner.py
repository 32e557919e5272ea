"""Joins a cohort, a network and the private trainer: what a silo does with its images in a study.

The only module of `silo_node` that imports torch. It decides nothing about budget or network: it trains
when it is told to and hands out only a `PrivateUpdate` and metric counts.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from imaging import metrics, models, tasks, transforms
from imaging.cohorts.cohort import Cohort, CohortPatient
from privacy.dp.preflight import PreflightReport, preflight
from privacy.dp.training import PatientData, PatientTrainer, model_vector, set_vector, tensor_shapes
from privacy.errors import DataError
from privacy.randomness import SecureStream
from privacy.study import Study
from privacy.update import PrivateUpdate
from silo_node import layout
from silo_node.imaging_errors import imaging_errors


class Learner:
    """One study's learning on one cohort.

    Args:
        study: the approved study.
        cohort: the silo's de-identified cohort.
        stream: the silo's CSPRNG.

    Raises:
        DataError: the model, transforms or cohort cannot be used.
    """

    def __init__(self, study: Study, cohort: Cohort, stream: SecureStream) -> None:
        self._study = study
        with imaging_errors():
            self._network = models.build(study.model.name, study.model.parameters, study.model.seed)
            self._pipeline = transforms.build([(step.name, step.parameters) for step in study.transforms])
            models.check(self._network, self._pipeline.shape)
            self._task = tasks.get(study.task.kind)
            training, targets = self._load(cohort.patients("train"))
            self._held_out, self._held_out_targets = self._load(cohort.patients(study.evaluation.split))
        if not training:
            raise DataError("the cohort has no patient to train on; check the split column of its labels")
        self._trainer = PatientTrainer(
            self._network,
            self._task.loss,
            PatientData(images=training, targets=torch.from_numpy(targets)),
            study.privacy,
            study.training,
            stream,
        )
        self.layout = layout.of_tensors(tensor_shapes(self._network), study.evaluation)

    def initial_vector(self) -> NDArray[np.float64]:
        """The public initial weights, (P,) float64; call before the first round."""
        with imaging_errors():
            fresh = models.build(self._study.model.name, self._study.model.parameters, self._study.model.seed)
        return model_vector(fresh)

    def preflight(self) -> PreflightReport:
        """The four checks of the privacy guarantee on made data. Raises PreflightFailed."""
        with imaging_errors():
            fresh = models.build(self._study.model.name, self._study.model.parameters, self._study.model.seed)
        return preflight(fresh, self._task.loss, self._pipeline.shape, self._study.privacy.clip)

    def train(self, weights: NDArray[np.float64], round_number: int) -> PrivateUpdate:
        """One round of private local training from the global weights."""
        return self._trainer.train_round(weights, round_number)

    def evaluate(self, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Metric counts of the held-out patients under these weights; all zero when there are none."""
        if not self._held_out:
            return np.zeros(self.layout.metric_fields, np.int64)
        set_vector(self._network, weights)
        with imaging_errors():
            results = tasks.evaluate(self._study.task.kind, self._network, self._held_out, self._held_out_targets)
            return metrics.counts(results.scores, self._held_out_targets, results.losses, self._study.evaluation.bins)

    def _load(self, patients: tuple[CohortPatient, ...]) -> tuple[tuple[torch.Tensor, ...], NDArray[np.float32]]:
        images = tuple(
            torch.from_numpy(np.stack([self._pipeline(patient.load(image)[0]) for image in range(patient.count)]))
            for patient in patients
        )
        return images, np.array([patient.images[0].label for patient in patients], np.float32)
