"""The parties of a study as witnesses of each other's ledgers: index 0 is the aggregator, the others are the silos."""

from privacy.channel.member import Member, Role
from privacy.ledger.heads.cosigned import Party
from privacy.study import Study

AGGREGATOR = 0


def parties_of(study: Study) -> tuple[Party, ...]:
    """By roster index, with the names that certificates have and the keys that the signed study pins."""
    roster = study.roster
    named = [(Role.AGGREGATOR, roster.aggregator), *((Role.SILO, silo) for silo in roster.silos)]
    return tuple(
        Party(Member(study.consortium, role, one.name).uri, bytes.fromhex(one.identity)) for role, one in named
    )
