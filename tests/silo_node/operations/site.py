"""A hospital's state directory with one approved study, made without images and without a search for noise."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import Result
from typer.testing import CliRunner

from privacy.ledger.entry import Entry
from privacy.ledger.reader import read
from privacy.study import Study, dump, sign
from privacy.token.description import TokenDescription
from silo_node import configuration
from silo_node.app import app
from silo_node.approvals import approval
from silo_node.state import StateDirectory
from tests.consortium import Consortium
from tests.privacy.studies import study

COHORT, BY = "chest", "Ada Roe"
POLICY = {
    "max_epsilon": 8.0,
    "delta": 1e-4,
    "allowed_tasks": ["binary_classification"],
    "allowed_models": ["resnet"],
    "cohorts": [COHORT],
}


@dataclass
class Site:
    """The silo `north` of a consortium; `study` is approved here."""

    consortium: Consortium
    study: Study

    @classmethod
    def make(cls, root: Path, token: TokenDescription | None = None) -> "Site":
        consortium = Consortium(root)
        if token is not None:
            consortium.tokens["north"] = token
        identity = consortium.silo("north")
        data = json.loads(study().model_dump_json())
        data["roster"]["silos"][0] = {"name": "north", "identity": identity.keys.public_identity.hex()}
        data["roster"]["steward"] = "north"
        site = cls(consortium, Study.model_validate_json(json.dumps(data)))
        (site.state / "silo.yaml").write_text(yaml.safe_dump({"policy": POLICY}))
        site.approve()
        return site

    def approve(self) -> None:
        """As the command does once everything was checked."""
        path = self.consortium.root / "study.yaml"
        path.write_text(dump(sign(self.study, self.consortium.authority.study_key)))
        others = {silo.name: "phone" for silo in self.study.roster.silos if silo.name != "north"}
        policy, folder = configuration.read(self.state).policy, self.directory.study(self.study.name)
        with self.directory.open_ledger(self.directory.identity()) as ledger:
            approval.record(path, self.study, COHORT, BY, others, policy, folder, ledger)

    @property
    def state(self) -> Path:
        return self.consortium.state("north")

    @property
    def directory(self) -> StateDirectory:
        return StateDirectory(self.state)

    @property
    def digest(self) -> str:
        return self.study.digest().hex()

    @property
    def entries(self) -> tuple[Entry, ...]:
        return read(self.state / "ledger").entries

    def run(self, *arguments: object, answers: Sequence[str] = ()) -> Result:
        """A command of the program on this state directory."""
        words = [*(str(argument) for argument in arguments), "--state", str(self.state)]
        return CliRunner().invoke(app, words, input="".join(f"{answer}\n" for answer in answers))

    def data(self, *arguments: object) -> dict[str, Any]:
        """What a command prints with --json, when it ends well."""
        ended = self.run(*arguments, "--json")
        assert ended.exit_code == 0, ended.output
        found = json.loads(ended.stdout)
        assert isinstance(found, dict)
        return found
