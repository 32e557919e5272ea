"""A study that is unsigned, altered, not approved or too dear is refused in a sentence, with its documented code."""

from pathlib import Path

import pytest

from privacy.errors import (
    BudgetExceeded,
    ConfigError,
    PolicyRefused,
    StudyError,
)
from tests.e2e import commands
from tests.e2e.refused import NORTH, approve, only_grew, serve, take_part
from tests.e2e.scene import COHORT, STUDY, Copied, Scene
from tests.e2e.state_folders import contents

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]


def test_an_unknown_key_of_a_draft_is_named_with_its_line(founded: Scene, tmp_path: Path) -> None:
    draft = founded.study.with_suffix(".draft.yaml").read_text()
    (tmp_path / "draft.yaml").write_text(draft + "surprise: 1\n")
    output = tmp_path / "study.yaml"
    ended = commands.run(
        "consortium", "study", "sign", tmp_path / "draft.yaml", "--dir", founded.consortium, "-o", output
    )
    line = draft.count("\n") + 1
    ended.refused(ConfigError, "config.invalid", f"draft.yaml line {line}: unknown key 'surprise'; remove it")
    assert not output.exists()


def test_an_unknown_key_of_a_signed_study_is_named_with_its_line(founded: Scene, tmp_path: Path) -> None:
    lines = founded.study.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("  training:")) + 1
    lines.insert(place, "    batch: 3\n")
    study = tmp_path / "study.yaml"
    study.write_text("".join(lines))
    before = contents(founded.state(NORTH))
    approve(founded, study).refused(
        ConfigError, "config.invalid", f"study.yaml line {place + 1}: unknown key 'study.training.batch'; remove it"
    )
    only_grew(founded, before, NORTH, [])


def test_an_unsigned_study_is_refused_by_silo_and_aggregator(founded: Scene) -> None:
    draft = founded.study.with_suffix(".draft.yaml")
    before = contents(founded.state(NORTH)), contents(founded.aggregator)
    approve(founded, draft).refused(StudyError, "study.unsigned", "ask the consortium for the file")
    serve(founded, draft).refused(StudyError, "study.unsigned", "ask the consortium for the file")
    assert (contents(founded.state(NORTH)), contents(founded.aggregator)) == before


def test_an_altered_study_is_refused_by_silo_and_aggregator(founded: Scene, tmp_path: Path) -> None:
    text = founded.study.read_text()
    assert text.count("noise_multiplier: 2.0") == 1
    study = tmp_path / "study.yaml"
    study.write_text(text.replace("noise_multiplier: 2.0", "noise_multiplier: 1.0"))
    before = contents(founded.state(NORTH)), contents(founded.aggregator)
    approve(founded, study).refused(StudyError, "study.altered", "ask the consortium for the original")
    serve(founded, study).refused(StudyError, "study.altered", "ask the consortium for the original")
    assert (contents(founded.state(NORTH)), contents(founded.aggregator)) == before


def test_a_study_altered_after_its_approval_is_not_run(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    kept = scene.state(NORTH) / "studies" / STUDY / "study.yaml"
    kept.write_text(kept.read_text().replace("noise_multiplier: 2.0", "noise_multiplier: 1.0"))
    before = contents(scene.state(NORTH))
    take_part(scene).refused(StudyError, "study.altered", "ask the consortium for the original")
    only_grew(scene, before, NORTH, [])


def test_nothing_is_trained_without_an_approval(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state(NORTH))
    take_part(scene).refused(PolicyRefused, "policy.not_approved", "approve one first with 'collegium-silo approve'")
    named = commands.run("silo", "run", "--state", scene.state(NORTH), "--aggregator", "localhost:1", "--study", STUDY)
    named.refused(PolicyRefused, "policy.not_approved", "run 'collegium-silo approve' first")
    only_grew(scene, before, NORTH, [])


def test_a_silo_that_is_not_on_the_roster_is_told_so(second: Path, founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state("hill"))
    ended = commands.run("silo", *scene.approve_arguments("hill", second, silos=("north", "harbour")))
    ended.refused(StudyError, "study.not_on_roster", "ask the consortium to sign a study that names it")
    only_grew(scene, before, "hill", ["refused"])
    assert not (scene.state("hill") / "studies").exists()


@pytest.mark.slow
def test_a_hospital_that_nobody_confirmed_stops_the_approval(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state(NORTH))
    arguments = scene.approve_arguments(NORTH, silos=("north", "harbour"))
    commands.run("silo", *arguments).refused(PolicyRefused, "policy.unconfirmed", "code with hill first")
    only_grew(scene, before, NORTH, ["refused"])


@pytest.fixture(scope="session")
def second(founded: Scene, shared: Path) -> Path:
    """Another study of the same consortium, for north and harbour alone."""
    from tests.e2e.conftest import made_once

    def build(folder: Path) -> None:
        folder.mkdir()
        roster = {"silos": ["north", "harbour"]}
        Scene(founded.root).sign(folder / "study.yaml", name="opacity-again", roster=roster)

    return made_once(shared, "second", build).root / "study.yaml"


def test_a_study_above_the_hospitals_cap_is_refused(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    scene.set_policy(NORTH, max_epsilon=1.0)
    before = contents(scene.state(NORTH))
    approve(scene).refused(PolicyRefused, "policy.refused", "its epsilon is above max_epsilon 1.0; change silo.yaml")
    only_grew(scene, before, NORTH, ["refused"])


def test_a_cap_lowered_after_the_approval_stops_the_run(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    scene.set_policy(NORTH, max_epsilon=1.0)
    before = contents(scene.state(NORTH))
    take_part(scene).refused(PolicyRefused, "policy.refused", "its epsilon is above max_epsilon 1.0; change silo.yaml")
    only_grew(scene, before, NORTH, ["refused"])


@pytest.mark.slow
def test_a_second_study_on_a_spent_cohort_exceeds_its_budget(second: Path, finished: Scene, copied: Copied) -> None:
    scene = copied(finished)
    before = contents(scene.state(NORTH))
    ended = commands.run("silo", *scene.approve_arguments(NORTH, second, silos=("north", "harbour")))
    said = ended.refused(BudgetExceeded, "budget.exceeded", "use another cohort, or a study with more noise")
    assert f"cohort '{COHORT}'" in said
    only_grew(scene, before, NORTH, ["refused"])
