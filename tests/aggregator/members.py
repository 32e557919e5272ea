"""A made-up consortium's aggregator and silos with a study for them, and what its silos agree on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.digest import protocol_hash
from privacy.study import Study
from privacy.wire import bodies
from tests.consortium import Consortium
from tests.integration.federation import make_study


@dataclass(frozen=True)
class Members:
    """A consortium's aggregator and silos, with a study for them."""

    hub: Identity
    silos: tuple[Identity, ...]
    study: Study
    consortium: Consortium
    statement: Signed

    @classmethod
    def enrol(cls, root: Path, names: Sequence[str] = ("north", "south", "east")) -> "Members":
        consortium = Consortium(root)
        hub, silos = consortium.aggregator(), tuple(consortium.silo(name) for name in names)
        return cls(hub, silos, make_study(hub, list(silos)), consortium, consortium.roster_statement())

    def with_length(self, length: int) -> "Members":
        """The same members with a study of longer uploads."""
        encryption = self.study.encryption.model_copy(update={"length": length})
        return replace(self, study=self.study.model_copy(update={"encryption": encryption}))

    def of(self, index: int) -> Identity:
        return self.silos[index - 1]

    def seal(self, index: int, body: bodies.Body) -> Signed:
        identity = self.of(index)
        return bodies.seal(body, identity.member.name, identity.keys.identity)


def context(number: int) -> bytes:
    """A round's context as all made-up silos agree on it."""
    return protocol_hash("test-ctx", bytes([number]))
