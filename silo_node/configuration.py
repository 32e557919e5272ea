"""`silo.yaml`: what this hospital allows, decided and kept on site.

Denies by default: a study runs only if its task, model and cohort are listed here and its cost stays
under the cap. No study and no aggregator can change it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from privacy import durable
from privacy.configuration import Strict, load
from privacy.errors import ConfigError

FILE_NAME = "silo.yaml"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class Policy(Strict):
    """What may be done with this hospital's patients.

    `max_epsilon` at `delta` caps what is ever spent on a cohort, over all studies, unless `budget set` gave the cohort
    a cap of its own. The lists name what may be used; an empty list allows nothing. `allow_without_dp` admits studies
    that give no privacy guarantee (for public data only). With `second_person`, the fingerprint of a key that another
    person holds, no cap is raised without that key's signature. With `witnesses_required` nothing is trained while the
    aggregator has forgotten what it knew of this silo's ledger.
    """

    max_epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=0.1)
    allowed_tasks: tuple[Name, ...]
    allowed_models: tuple[Name, ...]
    cohorts: tuple[Name, ...]
    allow_without_dp: bool = False
    witnesses_required: bool = True
    second_person: Annotated[str, Field(pattern=r"^[0-9a-f]{4}( [0-9a-f]{4}){15}$")] | None = None


class SiloConfig(Strict):
    """The silo's local configuration.

    With `one_way_tls` every call goes over a one-way line, for where a proxy of this hospital opens TLS: the
    certificates in proxy-ca.pem vouch for the server and every message is signed. The aggregator must allow it.
    """

    policy: Policy
    one_way_tls: bool = False


DEFAULT = """\
# What this hospital allows. Nothing can change it from outside.
policy:
  max_epsilon: 8.0          # the most that is ever spent on a cohort, over all studies
  delta: 0.0001             # below one over the number of patients of the cohort
  allowed_tasks: []         # for example [binary_classification]
  allowed_models: []        # for example [resnet, densenet]
  cohorts: []               # cohorts that studies may use, for example [chest]
  allow_without_dp: false   # true only for public data: such training has no privacy guarantee
"""
"""What `init` writes: a policy that allows nothing yet."""


def write_default(state: Path) -> None:
    """Write a policy that allows nothing, unless there is one."""
    if not (state / FILE_NAME).exists():
        durable.write(state / FILE_NAME, DEFAULT.encode(), mode=0o644)


def read(state: Path) -> SiloConfig:
    """The configuration in a state directory.

    Raises:
        ConfigError: missing or malformed.
    """
    path = state / FILE_NAME
    if not path.exists():
        raise ConfigError(
            f"there is no {FILE_NAME} in the state directory; 'init' writes one that allows nothing, then edit it",
            code="config.missing",
        )
    return load(path, SiloConfig)
