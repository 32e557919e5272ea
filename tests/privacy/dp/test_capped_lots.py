"""Why lots are not capped (docs/decisions): what a cap costs depends on how many patients there are, a secret."""

import dp_accounting
import numpy as np
import pytest
import torch
from dp_accounting.pld import PLDAccountant
from pydantic import ValidationError
from torch import nn

from privacy.dp.accounting import epsilon_pld
from privacy.dp.events import DpSgdEvent
from privacy.dp.gradients import CHUNK, model_vector
from privacy.dp.patients import PatientData
from privacy.dp.training import PatientTrainer
from privacy.randomness import SecureStream
from privacy.study import Privacy, Training

RATE, NOISE, STEPS, DELTA = 0.08, 4.0, 625, 1e-3


def capped(patients: int, cap: int) -> float:
    accountant = PLDAccountant()
    accountant.compose(dp_accounting.TruncatedSubsampledGaussianDpEvent(patients, RATE, cap, NOISE), STEPS)
    return float(accountant.get_epsilon(DELTA))


@pytest.mark.parametrize(
    ("patients", "cap", "epsilon"), [(400, 64, 1.393), (400, 48, 1.428), (450, 48, 1.650), (600, 48, 4.480)]
)
def test_the_cost_of_a_cap_grows_with_the_cohort(patients: int, cap: int, epsilon: float) -> None:
    found = capped(patients, cap)
    assert found == pytest.approx(epsilon, abs=2e-3)
    assert found >= epsilon_pld([DpSgdEvent(RATE, NOISE, STEPS)], DELTA) - 1e-4


def test_a_study_cannot_ask_for_a_cap() -> None:
    with pytest.raises(ValidationError, match="lot_cap"):
        Privacy.model_validate({"mechanism": "none", "clip": 1.0, "sampling_rate": 1.0, "lot_size": 1, "lot_cap": 48})


def test_every_sampled_patient_is_in_the_sum_however_many_chunks_that_takes() -> None:
    patients = 3 * CHUNK + 5
    data = PatientData(tuple(torch.ones(1, 1, 1, 1) for _ in range(patients)), torch.zeros(patients))
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False))
    privacy = Privacy(mechanism="none", clip=0.01, sampling_rate=1.0, lot_size=1)
    plan = Training(rounds=1, local_steps=1, learning_rate=1.0)
    trainer = PatientTrainer(
        model, lambda logits, targets: (logits[:, 0] - targets).sum(), data, privacy, plan, SecureStream()
    )
    update = trainer.train_round(model_vector(model), 1).consume()
    np.testing.assert_allclose(np.abs(update), 0.01 * patients, rtol=1e-4)
