"""Consortia for tests to write on, and one with its report to tamper with."""

import shutil
from pathlib import Path

import pytest

from compliance.budget import Accountant
from compliance.studies import Accountants
from compliance.verify import Anchors
from privacy.roster import fingerprint
from tests.compliance.evidence import SILOS, Consortium, cheap
from tests.compliance.history import cosign, history, make


@pytest.fixture
def accountants() -> Accountants:
    return Accountants(Accountant(cheap), Accountant(cheap), None, {"pld": "cheap 1"})


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path / "evidence")


@pytest.fixture
def trained(consortium: Consortium) -> Consortium:
    """Three hospitals after a few rounds, with one abandoned and one killed."""
    consortium.publish()
    digest = consortium.study.digest().hex()
    consortium.write("adder", "study_published", study_digest=digest)
    for silo in SILOS:
        consortium.approve(silo)
        for number in range(1, 6):
            killed = silo == "gamma" and number == 5
            consortium.train(silo, number, ending="killed" if killed else "abandoned" if number == 2 else "closed")
        consortium.write(silo, "release", study_digest=digest, round=5, what="global metrics (test)", protected=False)
    return consortium


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Consortium, Path]:
    """A consortium and its report; not to be changed."""
    consortium = history(tmp_path_factory.mktemp("whole") / "evidence")
    cosign(consortium)
    return consortium, make(consortium, consortium.root.parent / "report")


@pytest.fixture
def report(whole: tuple[Consortium, Path], tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return shutil.copytree(whole[1], tmp_path / "report")


@pytest.fixture
def anchors(whole: tuple[Consortium, Path]) -> Anchors:
    key = fingerprint(whole[0].keys["consortium"].public_key().public_bytes_raw())
    return Anchors(key, (key,))
