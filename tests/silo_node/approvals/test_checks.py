"""What is asked of a study: policy decides, and its claims are recomputed."""

from typing import Any

import pytest

from privacy.dp import accounting
from privacy.errors import PolicyRefused, StudyError
from privacy.study import Study
from silo_node.approvals import checks
from tests.privacy.studies import study
from tests.silo_node.approvals.hospital import NO_DP, OPEN, with_noise


def test_what_the_policy_allows_passes() -> None:
    checks.check_policy(study(), "chest", OPEN)


@pytest.mark.parametrize(
    ("signed", "cohort", "policy", "rule"),
    [
        (study(), "chest", {"allowed_tasks": ()}, "task"),
        (study(), "chest", {"allowed_models": ("densenet",)}, "model"),
        (study(), "spine", {}, "cohort 'spine'"),
        (study(), "chest", {"cohorts": ()}, "cohort"),
        (study(), "chest", {"max_epsilon": 7.9}, "epsilon"),
        (study(privacy=NO_DP), "chest", {}, "without differential privacy"),
    ],
)
def test_the_first_rule_that_forbids_is_named(signed: Study, cohort: str, policy: dict[str, Any], rule: str) -> None:
    with pytest.raises(PolicyRefused, match=rule) as caught:
        checks.check_policy(signed, cohort, OPEN.model_copy(update=policy))
    assert caught.value.exit_code == 4


def test_training_without_privacy_needs_the_hospitals_word() -> None:
    checks.check_policy(study(privacy=NO_DP), "chest", OPEN.model_copy(update={"allow_without_dp": True}))


def test_a_true_epsilon_passes_and_a_false_one_is_refused() -> None:
    noise = accounting.calibrate(3.0, 1e-4, 0.25, 20)
    checks.check_claims(with_noise(noise, 3.0))
    with pytest.raises(StudyError) as caught:
        checks.check_claims(with_noise(noise, 2.9))
    assert caught.value.code == "study.false_epsilon"


def test_a_study_without_privacy_claims_nothing() -> None:
    checks.check_claims(study(privacy=NO_DP))
