import numpy as np
import pytest
import torch

from imaging.errors import ImagingError
from imaging.tasks import evaluation, kinds

BINARY = kinds.task("binary_classification")


class Constant(torch.nn.Module):
    """The logit is the first pixel."""

    def forward(self, images):
        return images[:, :, 0, 0]


def test_evaluation_averages_over_a_patients_images(monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK", 2)
    logits = [[0.0], [1.0, -1.0, 3.0], [-2.0, -2.0]]
    labels = [1, 0, 1]
    patients = [
        [(torch.full((1, 2, 2), value), BINARY.target(label)) for value in patient]
        for patient, label in zip(logits, labels, strict=True)
    ]
    network = Constant().train()
    results = evaluation.evaluate(BINARY, network, patients)
    assert network.training
    sigmoid = [1 / (1 + np.exp(-np.array(patient))) for patient in logits]
    np.testing.assert_allclose(results.scores[:, 0], [patient.mean() for patient in sigmoid], rtol=1e-6)
    expected = [-np.log(sigmoid[0]), -np.log(1 - sigmoid[1]), -np.log(sigmoid[2])]
    np.testing.assert_allclose(results.losses, [patient.mean() for patient in expected], rtol=1e-5)
    assert [float(target) for target in results.targets] == labels
    assert BINARY.summarise(BINARY.counts(results, 64)).patients == 3


def test_no_patients_and_a_patient_without_images_are_refused():
    with pytest.raises(ImagingError) as caught:
        evaluation.evaluate(BINARY, Constant(), [])
    assert caught.value.code == "tasks.empty"
    with pytest.raises(RuntimeError):
        evaluation.evaluate(BINARY, Constant(), [[]])


class Threshold(torch.nn.Module):
    """Class 1 where the voxel is above a half; it sees no neighbour, so windows change nothing."""

    def forward(self, images):
        return torch.cat([0.5 - images, images - 0.5], dim=1)


@pytest.mark.parametrize("window", [None, (8, 8, 8)])
def test_dice_of_a_volume_is_the_same_whole_and_by_windows(window):
    task = kinds.task("segmentation", 3, ("background", "lesion"))
    truth = np.zeros((12, 16, 20), np.uint8)
    truth[2:6, 3:9, 4:10] = 1
    volume = torch.zeros(1, 12, 16, 20)
    volume[0, 2:6, 3:9, 4:7] = 1.0
    empty = torch.zeros_like(volume), task.target(np.zeros_like(truth))
    results = evaluation.evaluate(task, Threshold(), [[(volume, task.target(truth))], [empty]], window)
    assert results.scores[0, 0] == pytest.approx(2 * 72 / (72 + 144))
    assert np.isnan(results.scores[1, 0])
    metrics = task.summarise(task.counts(results, 64))
    assert (metrics.patients, metrics.values["dice_lesion"]) == (2, pytest.approx(2 / 3, abs=1e-4))


def test_a_model_that_gives_no_number_is_named():
    patients = [[(torch.full((1, 2, 2), float("nan")), BINARY.target(1)), (torch.zeros(1, 2, 2), BINARY.target(1))]]
    results = evaluation.evaluate(BINARY, Constant(), patients)
    with pytest.raises(ImagingError) as caught:
        BINARY.counts(results, 64)
    assert caught.value.code == "metrics.value"
