"""A segmentation of volumes from NIfTI files to a report, with real processes and a ready folder for each silo."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

PROGRAM = str(Path(sys.executable).parent / "collegium-sandbox")
LABELLING = """\
format: collegium-labelling/1
kind: segmentation
classes: [ball]
outlined: {ball: {numbers: [1]}}
"""
STUDY = {
    "format": "collegium-study/1",
    "name": "balls",
    "task": {"kind": "segmentation", "label": "mask", "dimensions": 3, "classes": ["background", "ball"]},
    "transforms": [{"name": "standardise"}, {"name": "crop-or-pad", "parameters": {"size": [16, 16, 16]}}],
    "model": {"name": "unet", "parameters": {"widths": [4, 8], "strides": [2], "residual_units": 1}, "seed": 1},
    "training": {"rounds": 2, "local_steps": 20, "learning_rate": 0.1, "momentum": 0.9},
    "privacy": {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.5, "lot_size": 4},
    "evaluation": {"split": "test"},
    "roster": {"aggregator": "adder", "silos": ["a"]},
}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for number, silo in enumerate(("one", "three", "two")):
        source = tmp_path / "data" / silo
        source.mkdir(parents=True)
        random = np.random.default_rng(number)
        listing, labels = ["file,patient,mask"], ["patient,split"]
        for patient in range(8):
            centre = random.uniform(5, 11, 3)[:, None, None, None]
            ball = ((np.indices((17, 15, 16)) - centre) ** 2).sum(0) < 16
            volume = (100 * (random.normal(size=ball.shape) + 3 * ball)).astype(np.int16)
            for name, array in ((f"{patient}.nii", volume), (f"{patient}-mask.nii", ball.astype(np.uint8))):
                image = nibabel.Nifti1Image(array, np.eye(4))
                image.header.set_xyzt_units("mm")
                nibabel.save(image, source / name)
            listing.append(f"{patient}.nii,{silo}-{patient},{patient}-mask.nii")
            labels.append(f"{silo}-{patient},{'test' if patient > 5 else 'train'}")
        (source / "listing.csv").write_text("\n".join(listing) + "\n")
        (source / "labels.csv").write_text("\n".join(labels) + "\n")
        (source / "labelling.yaml").write_text(LABELLING)
    return tmp_path / "data"


def run(folders: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    out = folders.parent / "out"
    return subprocess.run(
        [PROGRAM, "run", "--data", str(folders), "--out", str(out), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_ready_folders_of_another_number_of_silos_are_refused(folders: Path) -> None:
    ended = run(folders, "--silos", "2")
    assert ended.returncode == 2
    assert "run it with --silos 3" in ended.stderr


@pytest.mark.slow
def test_volumes_with_masks_are_learned_by_a_consortium(folders: Path) -> None:
    study = folders.parent / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY))
    ended = run(folders, "--study", str(study), "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["metrics"]["dice"]["after"] > 0.5
