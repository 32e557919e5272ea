"""Each patient's gradient is clipped by itself, whatever its images; and weights as one vector are the network's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet
from torch import Tensor, nn

from privacy.dp import gradients as module
from privacy.dp.gradients import PatientGradients, model_vector, set_vector, tensor_shapes
from tests.privacy.dp.small import SHAPE, clipped_mean, cohort, loss, network, no_dp, one_image_each, update


class TestGradients:
    @pytest.mark.parametrize(
        "build", [network, lambda: DenseNet(2, 1, 1, 4, 4, (1, 1), norm=("group", {"num_groups": 2}))]
    )
    def test_each_is_that_of_a_batch_of_one(self, build: Callable[[], nn.Module]) -> None:
        model = build().double()
        images = torch.randn(5, 1, 32, 32, dtype=torch.float64) if isinstance(model, DenseNet) else None
        images = torch.randn(5, *SHAPE, dtype=torch.float64) if images is None else images
        targets = torch.arange(5).double() % 2
        together = PatientGradients(model, loss)(images, targets)
        for i in range(5):
            alone = torch.autograd.grad(loss(model(images[i : i + 1]), targets[i : i + 1]), list(model.parameters()))
            for found, truth in zip(together, alone, strict=True):
                torch.testing.assert_close(found[i], truth, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf"), 1e38])
    def test_one_that_is_not_finite_is_zero_and_the_others_stay(self, poison: float) -> None:
        gradients = PatientGradients(network(), loss)
        images, targets = torch.randn(4, *SHAPE), torch.ones(4)
        clean = gradients(images, targets)
        images[2, 0, 3, 3] = poison
        found = gradients(images, targets)
        for good, bad in zip(clean, found, strict=True):
            assert bad.isfinite().all()
            assert torch.equal(good[[0, 1, 3]], bad[[0, 1, 3]])
        if poison != 1e38:
            assert all((part[2] == 0).all() for part in found)

    def test_a_target_that_is_not_finite_is_zero(self) -> None:
        found = PatientGradients(network(), loss)(torch.randn(2, *SHAPE), torch.tensor([float("nan"), 1.0]))
        assert all((part[0] == 0).all() for part in found)
        assert any((part[1] != 0).any() for part in found)

    def test_a_network_that_draws_random_numbers_fails(self) -> None:
        class Random(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(nn.functional.dropout(x.flatten(1), 0.5))

        with pytest.raises(RuntimeError):
            PatientGradients(Random(64, 1), loss)(torch.randn(2, *SHAPE), torch.ones(2))

    def test_chunks_follow_public_sizes(self) -> None:
        gradients = PatientGradients(network(), loss)
        assert gradients.chunk(torch.empty(1, 1, 64, 64)) == module.CHUNK
        assert gradients.chunk(torch.empty(1, 1, 1024, 1024)) == 4
        assert gradients.chunk(torch.empty(1, 1, 4096, 4096)) == 1
        assert PatientGradients(nn.Linear(20_000_000, 1), loss).chunk(torch.empty(1, 1)) == 1

    @pytest.mark.parametrize("chunk", [1, 3, 7, 64])
    def test_the_chunk_does_not_change_the_sum(self, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
        monkeypatch.setattr(module, "CHUNK", chunk)
        data = one_image_each(cohort(9))
        expected = -clipped_mean(network(), data, 0.5, 8)
        np.testing.assert_allclose(update(data, no_dp()), expected, atol=1e-6)


class TestVectors:
    def test_a_vector_and_its_shapes_are_those_of_the_trainable_parameters(self) -> None:
        model = network()
        shapes = tensor_shapes(model)
        assert shapes[0] == ("0.weight", (4, 1, 3, 3))
        vector = np.random.default_rng(0).normal(size=sum(int(np.prod(shape)) for _, shape in shapes))
        set_vector(model, vector)
        np.testing.assert_array_equal(model_vector(model), vector.astype(np.float32).astype(np.float64))

    @pytest.mark.parametrize(
        "vector",
        [np.zeros(3), np.zeros(2, np.float32), np.array([0.0, np.nan]), np.array([0.0, np.inf]), np.zeros((2, 1))],
    )
    def test_a_vector_that_does_not_fit_is_refused(self, vector: np.ndarray) -> None:
        model = nn.Linear(2, 1, bias=False)
        before = model_vector(model)
        with pytest.raises(ValueError, match="finite float64"):
            set_vector(model, vector)
        np.testing.assert_array_equal(model_vector(model), before)
