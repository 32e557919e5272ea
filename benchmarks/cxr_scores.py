"""Scores an exported model on the test images with plain MONAI code, and computes its exact AUC.

Nothing of Collegium takes part in the scoring: the exported files, pydicom and MONAI do.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import monai.networks.nets
import monai.transforms
import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import dcmread
from safetensors.torch import load_file
from torch import nn


@dataclass(frozen=True)
class TestSplit:
    """All silos' test images: (n, 1, 64, 64) float32, label and patient of each."""

    images: torch.Tensor
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]

    @classmethod
    def read(cls, sources: tuple[Path, ...]) -> "TestSplit":
        """Read the DICOM that the silos were given, test patients only."""
        prepare = monai.transforms.Compose(
            [monai.transforms.Resize((64, 64), mode="area"), monai.transforms.NormalizeIntensity()]
        )
        images, labels, patients = [], [], []
        for source in sources:
            with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
                wanted = {row["patient"]: int(row["label"]) for row in csv.DictReader(file) if row["split"] == "test"}
            for path in sorted((source / "dicom").iterdir()):
                image = dcmread(path)
                if image.PatientID in wanted:
                    images.append(torch.as_tensor(prepare(image.pixel_array[None].astype(np.float32))))
                    labels.append(wanted[image.PatientID])
                    patients.append(str(image.PatientID))
        return cls(torch.stack(images), np.array(labels), np.array(patients))

    def auc(self, network: nn.Module) -> tuple[float, float]:
        """Exact area under the ROC curve over images, and over patients (mean score of a patient's images)."""
        network.eval()
        with torch.no_grad():
            scores = torch.cat([network(block).flatten() for block in torch.split(self.images, 256)]).numpy()
        keys, owner = np.unique(self.patients, return_inverse=True)
        sums = np.bincount(owner, scores) / np.bincount(owner)
        labels = np.zeros(keys.size, np.int64)
        labels[owner] = self.labels
        return _auc(scores, self.labels), _auc(sums, labels)


def load_export(folder: Path) -> nn.Module:
    """The exported network, as the model card says to load it."""
    plan = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network: nn.Module = getattr(monai.networks.nets, plan["network"])(**plan["arguments"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network


def _auc(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mann-Whitney statistic; ties count half."""
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    positive = labels == 1
    count = int(positive.sum())
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (labels.size - count)))
