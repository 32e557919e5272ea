"""Private training: what is drawn, clipped, noised and charged is what the study says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from privacy.dp import training
from privacy.dp.events import DpSgdEvent, UnprotectedEvent
from privacy.dp.gradients import PatientGradients, model_vector, set_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import SecureDPOptimizer, check_network, private_step
from privacy.errors import ConfigError, PreflightFailed
from privacy.randomness import SecureStream
from tests.privacy.dp.small import (
    SHAPE,
    clipped_mean,
    cohort,
    dp_sgd,
    loss,
    network,
    no_dp,
    one_image_each,
    stacked,
    trainer,
    update,
)


class TestOptimizer:
    def optimizer(self, model: nn.Module, noise: float = 0.0, clip: float = 0.5, lot: int = 4) -> SecureDPOptimizer:
        return SecureDPOptimizer(
            list(model.parameters()),
            learning_rate=1.0,
            clip=clip,
            noise_multiplier=noise,
            lot_size=lot,
            stream=SecureStream(),
        )

    @settings(max_examples=40)
    @given(st.integers(0, 2**31), st.floats(-30, 30), st.floats(1e-3, 1e3))
    def test_one_patient_moves_the_sum_by_at_most_the_clip(self, seed: int, exponent: float, clip: float) -> None:
        model = nn.Linear(5, 3)
        set_vector(model, np.zeros(18))
        generator = torch.Generator().manual_seed(seed)
        gradients = [torch.randn(1, *p.shape, generator=generator) * 10**exponent for p in model.parameters()]
        optimizer = self.optimizer(model, clip=clip, lot=1)
        optimizer.accumulate(gradients)
        optimizer.release()
        assert np.linalg.norm(model_vector(model)) <= clip * (1 + 1e-6)

    def test_the_clip_is_over_all_parameters_together(self) -> None:
        model = nn.Linear(2, 1)
        set_vector(model, np.zeros(3))
        optimizer = self.optimizer(model, clip=1.0, lot=1)
        optimizer.accumulate([torch.tensor([[[2.0, 0.0]]]), torch.tensor([[2.0]])])
        optimizer.release()
        np.testing.assert_allclose(model_vector(model), [-(0.5**0.5), 0, -(0.5**0.5)], rtol=1e-6)

    def test_sums_are_released_once_and_divided_by_the_lot_size(self) -> None:
        model = nn.Linear(2, 1, bias=False)
        set_vector(model, np.zeros(2))
        optimizer = self.optimizer(model, clip=10.0, lot=4)
        for _ in range(2):
            optimizer.accumulate([torch.tensor([[[1.0, 2.0]], [[3.0, 0.0]]])])
            np.testing.assert_array_equal(model_vector(model), 0)
        optimizer.release()
        np.testing.assert_allclose(model_vector(model), [-2.0, -1.0])
        optimizer.release()
        np.testing.assert_allclose(model_vector(model), [-2.0, -1.0])

    def test_noise_has_the_stated_deviation_and_is_normal(self) -> None:
        model = nn.Linear(40_000, 1, bias=False)
        set_vector(model, np.zeros(40_000))
        self.optimizer(model, noise=3.0, clip=0.5, lot=4).release()
        noise = model_vector(model)
        assert stats.kstest(noise, "norm", args=(0, 3.0 * 0.5 / 4)).pvalue > 1e-6
        assert noise.std() == pytest.approx(0.375, rel=0.02)

    def test_steps_have_independent_noise(self) -> None:
        model = nn.Linear(10_000, 1, bias=False)
        optimizer = self.optimizer(model, noise=1.0)
        vectors = [model_vector(model)]
        for _ in range(3):
            optimizer.release()
            vectors.append(model_vector(model))
        correlation = np.corrcoef(np.diff(vectors, axis=0)) - np.eye(3)
        assert np.abs(correlation).max() < 0.06


class TestSampling:
    def lots(
        self, monkeypatch: pytest.MonkeyPatch, data: PatientData, rate: float, steps: int
    ) -> list[tuple[Tensor, Tensor]]:
        seen: list[tuple[Tensor, Tensor]] = []
        monkeypatch.setattr(training, "private_step", lambda _o, _g, lot: seen.append(stacked(lot)))
        trainer(data, dp_sgd(rate), steps).train_round(model_vector(network()), 1)
        return seen

    def test_every_patient_is_taken_at_the_public_rate_on_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        patients, steps, rate = 50, 800, 0.25
        data = PatientData(
            tuple(torch.full((1, *SHAPE), float(i)) for i in range(patients)), torch.arange(patients) * 1.0
        )
        taken = np.zeros((steps, patients))
        for step, (images, targets) in enumerate(self.lots(monkeypatch, data, rate, steps)):
            assert torch.equal(images[:, 0, 0, 0], targets)  # image and target of the same patient
            assert len(set(targets.tolist())) == len(targets)  # nobody twice
            taken[step, targets.int().numpy()] = 1
        deviation = (rate * (1 - rate) / steps) ** 0.5
        assert np.abs(taken.mean(0) - rate).max() < 5 * deviation
        sizes = taken.sum(1)
        assert sizes.var() == pytest.approx(patients * rate * (1 - rate), rel=0.3)  # Poisson sampling, not a fixed lot
        assert np.abs(np.corrcoef(taken[:, :20].T) - np.eye(20)).max() < 0.2
        assert np.abs(np.corrcoef(taken[1:].ravel(), taken[:-1].ravel())[0, 1]) < 0.03

    def test_each_image_of_a_patient_is_as_likely(self, monkeypatch: pytest.MonkeyPatch) -> None:
        images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, *SHAPE).contiguous()
        data = PatientData((images, images[:1]), torch.tensor([0.0, 1.0]))
        lots = self.lots(monkeypatch, data, 1.0, 1000)
        assert all(len(targets) == 2 for _, targets in lots)
        counts = np.bincount([int(images[0, 0, 0, 0]) for images, _ in lots], minlength=5)
        assert stats.chisquare(counts).pvalue > 1e-6

    def test_an_empty_cohort_trains_on_noise(self) -> None:
        assert np.linalg.norm(update(PatientData((), torch.empty(0)), dp_sgd())) > 0


class TestRound:
    def test_without_noise_it_is_the_clipped_mean(self) -> None:
        data = one_image_each(cohort(12))
        expected = -0.7 * clipped_mean(network(), data, 0.5, 8)
        np.testing.assert_allclose(update(data, no_dp(), rate=0.7), expected, atol=1e-6)

    def test_local_steps_follow_each_other(self) -> None:
        data = one_image_each(cohort(6))
        model = network()
        start = model_vector(model)
        for _ in range(3):
            set_vector(model, model_vector(model) - 0.5 * clipped_mean(model, data, 0.5, 8))
        found = trainer(data, no_dp(), steps=3, rate=0.5).train_round(start, 1)
        assert found.event == UnprotectedEvent(3)
        np.testing.assert_allclose(found.consume(), model_vector(model) - start, atol=1e-6)

    def test_the_update_names_what_it_cost(self) -> None:
        work = trainer(cohort(5), dp_sgd(rate=0.3, noise=1.25), steps=2)
        start = model_vector(network())
        found = work.train_round(start, 7)
        assert found.event == work.event == DpSgdEvent(0.3, 1.25, 2)
        assert (found.round_number, found.size) == (7, start.size)

    def test_an_empty_lot_is_a_noise_only_step(self) -> None:
        privacy = dp_sgd(rate=1e-12, noise=2.0, clip=0.5, lot=8)
        noise = np.concatenate([update(cohort(5), privacy, rate=0.5) for _ in range(40)])
        assert noise.std() == pytest.approx(0.5 * 2.0 * 0.5 / 8, rel=0.05)
        np.testing.assert_array_equal(update(cohort(5), no_dp(rate=1e-12)), 0)

    @pytest.mark.parametrize("left_out", [0, 7])
    def test_neighbours_differ_by_at_most_the_clip_over_the_public_divisor(self, left_out: int) -> None:
        data = one_image_each(cohort(8))
        keep = [i for i in range(8) if i != left_out]
        less = PatientData(tuple(data.images[i] for i in keep), data.targets[keep])
        moved = np.linalg.norm(update(data, no_dp(clip=0.01)) - update(less, no_dp(clip=0.01)))
        assert moved == pytest.approx(0.01 / 8, rel=1e-3)

    @pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
    def test_a_patient_with_broken_pixels_changes_at_most_a_clip(self, poison: float) -> None:
        data = one_image_each(cohort(6))
        broken = PatientData((torch.full((1, *SHAPE), poison), *data.images), torch.cat([torch.ones(1), data.targets]))
        moved = update(broken, no_dp()) - update(data, no_dp())
        assert np.linalg.norm(moved) <= 0.5 / 8 * (1 + 1e-3)

    def test_equal_global_seeds_do_not_cancel_the_noise(self) -> None:
        """The attack: two neighbouring runs under one seed, whose difference is the missing patient."""
        data = one_image_each(cohort(8))
        less = PatientData(data.images[1:], data.targets[1:])
        found = []
        for members in (data, less):
            torch.manual_seed(0)
            np.random.seed(0)
            found.append(update(members, dp_sgd(noise=4.0)))
        spread = (found[0] - found[1]).std()
        assert spread == pytest.approx(2**0.5 * 4.0 * 0.5 / 8, rel=0.2)

    def test_the_global_generators_are_never_touched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        work = trainer(cohort(8), dp_sgd(rate=0.5), steps=3)
        start = model_vector(network())

        def forbidden(*_: object, **__: object) -> None:
            raise AssertionError("a seeded generator was used")

        for name in ("normal", "randn", "rand", "randint", "randperm", "bernoulli", "randn_like", "rand_like"):
            monkeypatch.setattr(torch, name, forbidden)
        before, numpy_before = torch.get_rng_state(), np.random.get_state()[1]
        work.train_round(start, 1)
        assert torch.equal(before, torch.get_rng_state())
        np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])

    def test_training_mode_is_set_and_frozen_weights_stay(self) -> None:
        model = network().eval()
        for parameter in model[0].parameters():
            parameter.requires_grad_(False)
        frozen = [parameter.clone() for parameter in model[0].parameters()]
        trainer(cohort(8), dp_sgd(), model=model).train_round(model_vector(model), 1)
        assert model.training
        assert all(torch.equal(a, b) for a, b in zip(frozen, model[0].parameters(), strict=True))

    def test_it_learns(self) -> None:
        generator = torch.Generator().manual_seed(1)
        targets = torch.arange(60) % 2 * 1.0
        images = tuple(torch.randn(1, *SHAPE, generator=generator) + t for t in targets)
        model = network()
        work = trainer(PatientData(images, targets), no_dp(rate=0.8, clip=1.0, lot=48), steps=30, rate=0.5, model=model)
        before = loss(model(torch.cat(images)), targets).item()
        work.train_round(model_vector(model), 1)
        assert loss(model(torch.cat(images)), targets).item() < before / 2

    def test_a_study_without_its_noise_is_refused(self) -> None:
        with pytest.raises(ConfigError) as caught:
            trainer(cohort(4), dp_sgd(noise=None))
        assert caught.value.code == "privacy.uncalibrated"


class TestNetworkCheck:
    @pytest.mark.parametrize(
        ("layer", "code"),
        [
            (nn.BatchNorm2d(4), "preflight.batch_norm"),
            (nn.BatchNorm2d(4, affine=False, track_running_stats=False), "preflight.batch_norm"),
            (nn.BatchNorm3d(4).requires_grad_(False), "preflight.batch_norm"),
            (nn.SyncBatchNorm(4), "preflight.batch_norm"),
            (type("Disguised", (nn.BatchNorm2d,), {})(4), "preflight.batch_norm"),
            (nn.InstanceNorm2d(4, track_running_stats=True), "preflight.buffers"),
            (nn.Dropout(0.1), "preflight.randomness"),
            (nn.Dropout2d(0.5), "preflight.randomness"),
            (nn.AlphaDropout(0.5), "preflight.randomness"),
            (nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), "preflight.buffers"),
            (nn.Linear(2, 2).double(), "preflight.parameters"),
        ],
    )
    def test_what_no_noise_covers_is_refused(self, layer: nn.Module, code: str) -> None:
        model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(layer))
        with pytest.raises(PreflightFailed) as caught:
            check_network(model)
        assert caught.value.code == code
        with pytest.raises(PreflightFailed):
            trainer(cohort(2), dp_sgd(), model=model)

    def test_a_bare_buffer_is_refused(self) -> None:
        model = nn.Linear(2, 2)
        model.register_buffer("seen", torch.zeros(1))
        with pytest.raises(PreflightFailed):
            check_network(model)

    def test_nothing_to_train_is_refused(self) -> None:
        with pytest.raises(PreflightFailed):
            check_network(nn.Linear(2, 2).requires_grad_(False))

    def test_layers_without_batch_statistics_pass(self) -> None:
        check_network(nn.Sequential(nn.GroupNorm(1, 2), nn.LayerNorm(3), nn.InstanceNorm2d(2), nn.Dropout(0.0)))


def test_an_empty_lot_needs_no_gradients() -> None:
    model = network()
    gradients = PatientGradients(model, loss)
    optimizer = TestOptimizer().optimizer(model, noise=1.0)
    before = model_vector(model)
    private_step(optimizer, gradients, [])
    assert (model_vector(model) != before).all()
