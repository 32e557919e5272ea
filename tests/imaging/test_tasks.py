import numpy as np
import pytest
import torch

from imaging import tasks
from imaging.errors import ImagingError


def test_loss_is_the_cross_entropy_of_the_logit():
    loss = tasks.loss("binary_classification")
    value = loss(torch.tensor([[2.0]]), torch.tensor([1.0]))
    assert value.shape == ()
    assert value.item() == pytest.approx(np.log1p(np.exp(-2.0)))


class Constant(torch.nn.Module):
    """The logit is the first pixel."""

    def forward(self, images):
        return images[:, :, 0, 0]


def test_evaluation_averages_over_a_patients_images(monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", 2)
    logits = [[0.0], [1.0, -1.0, 3.0], [-2.0, -2.0]]
    images = [torch.tensor(patient)[:, None, None, None].expand(-1, 1, 2, 2) for patient in logits]
    network = Constant().train()
    results = tasks.evaluate("binary_classification", network, images, np.array([1, 0, 1], dtype=np.float32))
    assert network.training
    sigmoid = [1 / (1 + np.exp(-np.array(patient))) for patient in logits]
    np.testing.assert_allclose(results.scores, [patient.mean() for patient in sigmoid], rtol=1e-6)
    expected = [-np.log(sigmoid[0]), -np.log(1 - sigmoid[1]), -np.log(sigmoid[2])]
    np.testing.assert_allclose(results.losses, [patient.mean() for patient in expected], rtol=1e-5)


def test_an_unknown_task_and_no_patients_are_refused():
    with pytest.raises(ImagingError) as caught:
        tasks.loss("segmentation")
    assert caught.value.code == "tasks.unknown"
    with pytest.raises(ImagingError) as caught:
        tasks.evaluate("binary_classification", Constant(), [], np.zeros(0, dtype=np.float32))
    assert caught.value.code == "tasks.empty"
    with pytest.raises(RuntimeError):
        tasks.evaluate("binary_classification", Constant(), [torch.zeros(0, 1, 2, 2)], np.zeros(1, dtype=np.float32))
