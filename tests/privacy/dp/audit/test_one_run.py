"""A sound mechanism is not accused, a broken one is found; counts of canaries are those that `docs` gives."""

import random
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from privacy.dp import accounting
from privacy.dp.audit import finding, one_run
from privacy.dp.audit.finding import Finding, Plan
from privacy.dp.training import PatientTrainer
from privacy.errors import ConfigError
from privacy.study import Privacy
from tests.privacy.dp.audit import broken
from tests.privacy.dp.audit.studies import privacy, training


@cache  # a second of calibration each
def whole() -> Plan:
    return finding.single_step(privacy(), training(), sampling_rate=1.0)


@cache
def sampled() -> Plan:
    return finding.plan(privacy(), training(rounds=8, local_steps=2))


def audit(plan: Plan | None = None, runs: int = 4) -> Finding:
    return one_run.audit("here", plan or whole(), runs=runs)


class TestSound:
    def test_the_bound_is_below_the_claim_and_says_something(self) -> None:
        found = audit()
        assert (found.canaries, found.guesses) == (16384, 256)
        assert 0.3 < found.lower_bound < found.claimed_epsilon == 2.0
        assert found.outcome == "consistent"
        assert 0.57 < found.accuracy < 0.63  # of the best test between two Gaussians one clip apart: 0.598

    @pytest.mark.audit
    def test_with_sampling_and_local_steps(self) -> None:
        found = audit(sampled(), runs=1)
        assert (found.rounds, found.local_steps, found.sampling_rate) == (8, 2, 0.25)
        assert found.outcome == "consistent"
        assert found.accuracy > 0.53

    @pytest.mark.slow
    def test_ten_audits_of_full_size(self) -> None:
        """Each is accused with probability 0.05 at most by the theorem; for Gaussian noise below 1e-9."""
        for _ in range(10):
            assert 0.9 < audit(runs=16).lower_bound < 1.7


class TestBroken:
    @pytest.mark.audit
    def test_halved_noise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        broken.halved_noise(monkeypatch)
        assert audit(runs=16).lower_bound > 2.0

    def test_three_times_the_clip(self, monkeypatch: pytest.MonkeyPatch) -> None:
        broken.tripled_clip(monkeypatch)
        assert audit().outcome == "broken"

    def test_clipping_by_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        broken.clipped_by_image(monkeypatch)
        assert audit(runs=1).lower_bound > 2.0

    @pytest.mark.parametrize("defect", [broken.known_key, broken.noise_of_torch])
    def test_noise_that_a_seed_reaches(
        self, monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None]
    ) -> None:
        defect(monkeypatch)
        found = audit(runs=1)
        assert found.lower_bound > 2.0
        assert found.accuracy == 1.0

    @pytest.mark.slow
    @pytest.mark.parametrize("defect", [broken.halved_noise, broken.everyone_sampled])
    def test_with_sampling(self, monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None]) -> None:
        runs, plan = (16, finding.plan(privacy(), training(100))) if defect is broken.halved_noise else (2, sampled())
        defect(monkeypatch)
        assert audit(plan, runs=runs).lower_bound > 2.0

    def test_a_mechanism_of_ones_own_is_audited_alike(self) -> None:
        class Loud(PatientTrainer):
            def __init__(self, model, loss, data, privacy, training, stream):  # type: ignore[no-untyped-def]
                quiet = privacy.model_copy(update={"noise_multiplier": privacy.noise_multiplier / 4})
                super().__init__(model, loss, data, quiet, training, stream)

        assert one_run.audit("here", whole(), runs=1, mechanism=Loud).outcome == "broken"


class TestCanaries:
    def test_each_is_one_axis_longer_than_the_clip_on_all_its_images(self) -> None:
        present = np.zeros(one_run.RUN, bool)
        present[[0, 70, one_run.RUN - 1]] = True
        data = one_run._patients(present, clip=0.5)
        for index in np.flatnonzero(present):
            images = data.images[index].flatten(1)
            assert images.shape == (one_run.IMAGES, one_run.RUN)
            assert images.nonzero().tolist() == [[copy, int(index)] for copy in range(one_run.IMAGES)]
            assert images.max() == one_run.BRIGHTNESS * 0.5
        assert not data.images[1].any()

    def test_what_leaves_is_the_coins_and_the_noise(self) -> None:
        present = np.arange(one_run.RUN) % 3 == 0
        quiet = whole().privacy.model_copy(update={"noise_multiplier": 1e-6})
        seen = one_run._updates(Plan(quiet, whole().training), present, PatientTrainer)
        np.testing.assert_allclose(seen, present[None], atol=1e-4)

    def test_global_generators_are_put_back(self) -> None:
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
        with one_run._global_seeds():
            first = random.random(), np.random.random(), float(torch.rand(()))
        with one_run._global_seeds():
            assert first == (random.random(), np.random.random(), float(torch.rand(())))
        assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())

    def test_progress_is_told(self) -> None:
        told: list[tuple[int, int]] = []
        one_run.audit("here", whole(), runs=2, progress=lambda done, of: told.append((done, of)))
        assert told == [(1, 2), (2, 2)]


class TestPlan:
    def test_noise_is_made_anew_for_the_claim_and_the_rest_is_the_studys(self) -> None:
        assert sampled().privacy.noise_multiplier != privacy().noise_multiplier
        assert (sampled().privacy.epsilon, sampled().privacy.delta) == (finding.CLAIM, finding.DELTA) == (2.0, 1e-5)
        kept = {"clip", "sampling_rate", "lot_size"}
        assert sampled().privacy.model_dump(include=kept) == privacy().model_dump(include=kept)
        assert sampled().training == training(8, 2)

    @pytest.mark.parametrize(
        ("rounds", "local_steps", "planned"),
        [(500, 1, (100, 1)), (500, 30, (3, 30)), (9, 300, (1, 100)), (2, 3, (2, 3))],
    )
    def test_a_long_study_is_audited_in_part(
        self, monkeypatch: pytest.MonkeyPatch, rounds: int, local_steps: int, planned: tuple[int, int]
    ) -> None:
        monkeypatch.setattr(accounting, "calibrate", lambda epsilon, delta, rate, steps: float(steps))
        made = finding.plan(privacy(), training(rounds, local_steps))
        assert (made.training.rounds, made.training.local_steps) == planned
        assert made.privacy.noise_multiplier == planned[0] * planned[1]

    def test_a_study_without_privacy_has_nothing_to_audit(self) -> None:
        bare = Privacy(mechanism="none", clip=1.0, sampling_rate=0.5, lot_size=3)
        with pytest.raises(ConfigError) as refused:
            finding.plan(bare, training())
        assert refused.value.code == "audit.unprotected"
