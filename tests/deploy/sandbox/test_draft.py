from pathlib import Path

import pytest
import yaml

from deploy.consortium.signing import Draft
from deploy.sandbox import draft
from deploy.sandbox.draft import Choices
from privacy.configuration import parse
from privacy.errors import ConfigError
from silo_node.configuration import SiloConfig

SILOS = ("north", "harbour", "hill", "lake")


def as_draft(content: dict[str, object]) -> Draft:
    return parse(yaml.safe_dump(content).encode(), Draft, name="draft.yaml")


def test_the_template_without_choices_is_a_draft() -> None:
    read = as_draft(draft.make(draft.TEMPLATE, SILOS, Choices()))
    assert read.roster.silos == SILOS
    assert read.roster.steward == "north"
    assert read.privacy.mechanism == "dp_sgd"


def test_choices_reach_the_draft() -> None:
    chosen = Choices(rounds=7, epsilon=3.0, evaluate_on="val", model_seed=11)
    read = as_draft(draft.make(draft.TEMPLATE, SILOS, chosen))
    assert (read.training.rounds, read.privacy.epsilon, read.evaluation.split, read.model.seed) == (7, 3.0, "val", 11)


def test_without_protection_nothing_of_the_target_is_left_and_the_policy_must_say_so() -> None:
    content = draft.make(draft.TEMPLATE, SILOS, Choices(epsilon=0))
    assert as_draft(content).privacy.mechanism == "none"
    policy = parse(yaml.safe_dump(draft.policy(content)).encode(), SiloConfig, name="silo.yaml").policy
    assert policy.allow_without_dp


def test_the_policy_allows_this_study_and_no_more() -> None:
    content = draft.make(draft.TEMPLATE, SILOS, Choices(epsilon=2.5))
    policy = parse(yaml.safe_dump(draft.policy(content)).encode(), SiloConfig, name="silo.yaml").policy
    assert policy.max_epsilon == 2.5
    assert not policy.allow_without_dp
    assert policy.allowed_models == (content["model"]["name"],)


def test_a_file_that_is_no_draft_is_refused(tmp_path: Path) -> None:
    for text in ("", "training: 3\n", "- a\n", "{"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"x\.yaml is not a study draft"):
            draft.make(tmp_path / "x.yaml", SILOS, Choices())
    with pytest.raises(ConfigError, match="absent"):
        draft.make(tmp_path / "absent.yaml", SILOS, Choices())


def test_the_divisor_is_rounded(tmp_path: Path) -> None:
    sources = []
    for number, patients in enumerate((700, 800)):
        sources.append(tmp_path / str(number))
        sources[-1].mkdir()
        rows = "".join(f"p{i},0,{'train' if i % 2 else 'test'}\n" for i in range(patients))
        (sources[-1] / "labels.csv").write_text("patient,label,split\n" + rows)
    assert draft.planned_lot(tuple(sources), 0.25) == 94
