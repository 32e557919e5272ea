"""What the hospital sees of its cohort, and a cohort that was labelled for something else."""

from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from privacy.errors import DataError
from silo_node import ingestion, program
from silo_node.app import app
from silo_node.state import StateDirectory
from tests.e2e.scene import STUDY, Copied, Scene, kinds

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
