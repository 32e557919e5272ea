"""What the hospital sees of its cohort, and a cohort that was labelled for something else."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imaging.cohorts.cohort import CohortPatient
from imaging.labels.table import SPLITS
from privacy.errors import ConfigError, DataError
from silo_node import program
from silo_node.app import app
from silo_node.cohorts import ingestion
from silo_node.state import StateDirectory
from tests.e2e.scene import COHORT, STUDY, Copied, Scene
from tests.e2e.state_folders import contents, kinds

NORTH = "north"


def test_a_cohort_of_another_task_is_neither_approved_nor_trained_on(
    founded: Scene, approved: Scene, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ingestion.open_cohort

    def graded(directory: StateDirectory, name: str) -> Any:
        return replace(whole(directory, name), kind="multi_class_classification", classes=("low", "high"))

    for module in (ingestion, program):
        monkeypatch.setattr(module, "open_cohort", graded)
    scene = copied(founded)
    ended = CliRunner().invoke(app, [str(word) for word in scene.approve_arguments(NORTH)])
    assert isinstance(ended.exception, DataError)
    assert ended.exception.code == "cohort.other_kind"
    assert kinds(scene.entries(NORTH))[-1] == "refused"
    later = copied(approved)
    before = kinds(later.entries(NORTH))
    with pytest.raises(DataError) as caught:
        program.take_part(StateDirectory(later.state(NORTH)), STUDY, "localhost:1", 1.0, None, 1, None)
    assert caught.value.code == "cohort.other_kind"
    assert "reserved" not in kinds(later.entries(NORTH))[len(before) :]


def invoked(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def private(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_cohort_is_shown_to_its_hospital_alone(founded: Scene, tmp_path: Path) -> None:
    state, folder = founded.state(NORTH), tmp_path / "look"
    before = contents(state)
    cohort = ingestion.open_cohort(StateDirectory(state), COHORT)
    patients = {split: len(cohort.patients(split)) for split in SPLITS}
    images = {split: sum(patient.count for patient in cohort.patients(split)) for split in SPLITS}
    ended = invoked("cohort", "show", COHORT, "--state", state, "-o", folder, "--most", 5, "--json")
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    assert (said["patients"], said["images"]) == (patients, images)
    assert sum(count for by_split in said["labels"].values() for count in by_split.values()) == sum(images.values())
    assert len(said["drawn"]["images"]) == 5
    assert said["quarantined"] == dict(cohort.quarantined)
    private(folder)
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert f"5 of {sum(images.values())} images are shown" in page
    assert not re.search(r"<script|<link|https?:|file:|href=", page)
    words = invoked("cohort", "show", COHORT, "--state", state).stdout
    assert "nothing of them is sent" in words
    again = invoked("cohort", "show", COHORT, "--state", state, "-o", folder)
    assert isinstance(again.exception, ConfigError)
    assert again.exception.code == "output.exists"
    assert contents(state) == before


def test_a_preview_shows_what_training_reads(founded: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, folder = founded.state(NORTH), tmp_path / "seen"
    before = contents(state)
    asked = ("preview", founded.study, "--cohort", COHORT, "--state", state, "--json", "--most", 6)
    ended = invoked(*asked, "-o", folder)
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    assert said["shape"] == [32, 32]
    assert said["smallest_value"] < 0 < said["largest_value"]
    assert (said["looked_at"], said["do_not_fit"], said["page"]) == (6, [], str(folder / "index.html"))
    private(folder)
    assert {path.name for path in folder.iterdir()} == {"index.html", "sheet-0001.png"}
    assert (folder / "index.html").read_text().count("data:image/png;base64,") == 6

    whole = CohortPatient.load
    first = ingestion.open_cohort(StateDirectory(state), COHORT).patients("train")[0]

    def too_flat(patient: CohortPatient, image: int) -> Any:
        array, affine, mask = whole(patient, image)
        return (array[0] if patient.key == first.key else array), affine, mask

    monkeypatch.setattr(CohortPatient, "load", too_flat)
    ended = invoked(*asked, "-o", tmp_path / "unfit")
    assert isinstance(ended.exception, DataError)
    assert ended.exception.code == "preview.unfit"
    assert "image 1: transforms.image" in str(ended.exception)
    assert first.key[:8] not in str(ended.exception) + ended.output
    assert (tmp_path / "unfit" / "index.html").exists()
    assert contents(state) == before
