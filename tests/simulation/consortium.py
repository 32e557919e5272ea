"""The members of a made-up consortium, enrolled once for all histories; their keys and certificates are real."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.channel.roster_statement import Reason, Revoked, RosterStatement, instant
from privacy.study import Study
from tests.consortium import Consortium
from tests.integration.federation import make_study
from tests.simulation.clock import START

NAMES = ("north", "south", "east", "west", "centre", "coast")
PARAMETERS = 2
PATIENCE, DEADLINE = 20, 60
"""Seconds that the study allows for an exchange of small messages and for training and uploading."""


@dataclass(frozen=True)
class Cast:
    """An aggregator, silos, and a study of a few rounds for them.

    `cosigning` is whether silos cosign each other's ledgers after each round, which takes as long as the round.
    """

    consortium: Consortium
    hub: Identity
    silos: tuple[Identity, ...]
    study: Study
    pems: tuple[bytes, ...]
    expired_pem: bytes
    cosigning: bool
    _statements: dict[frozenset[int], Signed] = field(default_factory=dict)
    _admissions: dict[datetime, Path] = field(default_factory=dict)

    @classmethod
    def enrol(cls, root: Path, silos: int, rounds: int, cosigning: bool = False, slot: int = 0) -> "Cast":
        consortium = Consortium(root, founded=START - timedelta(days=800))
        hub = consortium.enrol(Role.AGGREGATOR, "hub", ("localhost",), START)
        members = tuple(consortium.silo(name, START) for name in NAMES[:silos])
        old = consortium.silo("old", START - timedelta(days=400))
        study = make_study(
            hub,
            list(members),
            rounds=rounds,
            deadline=DEADLINE,
            exchange=PATIENCE,
            slot=slot,
            parameters=PARAMETERS,
        )
        study = study.model_copy(update={"evaluation": study.evaluation.model_copy(update={"every": 1})})
        pems = tuple(one.certificate_pem for one in members)
        return cls(consortium, hub, members, study, pems, old.certificate_pem, cosigning)

    def statement(self, revoked: Collection[int] = ()) -> Signed:
        """The consortium's statement that revokes these silos; the more it revokes the newer it is."""
        chosen = frozenset(revoked)
        if chosen not in self._statements:
            self._statements[chosen] = roster_statement.sign(self._drafted(chosen), self.consortium.authority.study_key)
        return self._statements[chosen]

    def admission(self, began: datetime) -> Path:
        """The consortium's answer to the aggregator with a certificate that begins then."""
        if began not in self._admissions:
            path = self.consortium.root / f"renewed-{began:%Y%m%d%H%M%S%f}.json"
            path.write_text(self.consortium.authority.renew(self.hub.member, began).model_dump_json())
            self._admissions[began] = path
        return self._admissions[began]

    def _drafted(self, revoked: frozenset[int]) -> RosterStatement:
        entries = [
            Revoked(
                role=Role.SILO,
                name=silo.member.name,
                identity=silo.keys.public_identity.hex(),
                reason=Reason.KEY_COMPROMISE,
                since=instant(START),
            )
            for index, silo in enumerate(self.silos, start=1)
            if index in revoked
        ]
        return RosterStatement(
            consortium=self.consortium.authority.name,
            serial=1 + len(revoked),
            issued=instant(START),
            expires=instant(START + timedelta(days=30)),
            revoked=tuple(sorted(entries, key=lambda entry: entry.identity)),
        )
