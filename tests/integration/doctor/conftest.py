"""One consortium for all tests of doctor: its silos are called by name, and each is spoilt by one test at most."""

from collections.abc import Iterator

import pytest
import yaml

from aggregator.app import Program
from tests.consortium import Consortium
from tests.integration.federation import Federation
from tests.privacy.channel.test_proxy import proxy
from tests.silo_node.operations.site import POLICY

__all__ = ["proxy"]


@pytest.fixture(scope="package")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    root = tmp_path_factory.mktemp("doctor")
    (root / "hub").mkdir()
    (root / "hub" / "aggregator.yaml").write_text("one_way_tls: [north]\n")
    made = Federation(root, Consortium(root), silos=5)
    for name in ("north", "south", "east"):
        (root / name / "silo.yaml").write_text(yaml.safe_dump({"policy": POLICY}))
    return made


@pytest.fixture(scope="package")
def program(federation: Federation) -> Iterator[Program]:
    with federation.serving(one_way="localhost:0") as program:
        yield program
