"""A patient's images and label fit together, or are refused."""

import pytest
import torch
from torch import Tensor

from privacy.dp.patients import PatientData
from privacy.errors import DataError


class TestPatientData:
    @pytest.mark.parametrize(
        ("images", "targets"),
        [
            ((torch.zeros(1, 1, 4, 4),), torch.zeros(2)),
            ((torch.zeros(0, 1, 4, 4),), torch.zeros(1)),
            ((torch.zeros(1, 4, 4),), torch.zeros(1)),
            ((torch.zeros(1, 1, 4, 4).double(),), torch.zeros(1)),
            ((torch.zeros(1, 1, 4, 4),), torch.zeros(1, dtype=torch.float64)),
            ((torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5)), torch.zeros(2)),
            ((torch.zeros(1, 1, 4, 4),), torch.zeros(())),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, images: tuple[Tensor, ...], targets: Tensor) -> None:
        with pytest.raises(DataError):
            PatientData(images, targets)
