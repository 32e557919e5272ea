"""The hospital's policy: nothing is allowed unless it says so, and the file that `init` writes is such a one."""

from pathlib import Path

import pytest

from privacy.errors import ConfigError
from silo_node.configuration import DEFAULT, FILE_NAME, SiloConfig, read, write_default

POLICY = """\
policy:
  max_epsilon: 8.0
  delta: 0.0001
  allowed_tasks: [binary_classification]
  allowed_models: [resnet]
  cohorts: [chest]
"""


def test_the_default_allows_nothing(tmp_path: Path) -> None:
    write_default(tmp_path)
    policy = read(tmp_path).policy
    assert policy.allowed_tasks == policy.allowed_models == policy.cohorts == ()
    assert policy.allow_without_dp is False
    assert (tmp_path / FILE_NAME).read_text() == DEFAULT


def test_the_default_never_replaces_a_policy(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(POLICY)
    write_default(tmp_path)
    assert read(tmp_path).policy.cohorts == ("chest",)


def test_without_a_policy_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert caught.value.code == "config.missing"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("max_epsilon: 8.0", "max_epsilon: 0"),
        ("max_epsilon: 8.0", "max_epsilon: -1.0"),
        ("max_epsilon: 8.0", "max_epsilon: 101.0"),
        ("max_epsilon: 8.0", "max_epsilon: '8'"),
        ("max_epsilon: 8.0", "max_epsilon: .inf"),
        ("max_epsilon: 8.0", "max_epsilon: .nan"),
        ("  max_epsilon: 8.0\n", ""),
        ("delta: 0.0001", "delta: 0"),
        ("delta: 0.0001", "delta: 0.1"),
        ("cohorts: [chest]", "cohorts: chest"),
        ("cohorts: [chest]", "cohorts: ['../chest']"),
        ("cohorts: [chest]", "cohort: [chest]"),
        ("  cohorts: [chest]\n", ""),
        ("cohorts: [chest]", "cohorts: [chest]\n  allow_without_dp: 1"),
        ("policy:", "name: north\npolicy:"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, before: str, after: str) -> None:
    assert before in POLICY
    (tmp_path / FILE_NAME).write_text(POLICY)
    assert isinstance(read(tmp_path), SiloConfig)
    (tmp_path / FILE_NAME).write_text(POLICY.replace(before, after, 1))
    with pytest.raises(ConfigError, match=r"silo\.yaml"):
        read(tmp_path)
