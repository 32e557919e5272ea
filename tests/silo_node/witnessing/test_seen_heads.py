"""A silo says what it saw of others' ledgers until they answered, and hears what they saw of its own in time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import CorruptState, IdentityError
from privacy.ledger.store import Ledger
from privacy.secagg import advertise
from privacy.secagg.advertise import AdvertiseSet
from privacy.wire.limits import MAX_HEADS
from privacy.wire.messages import Advertise, LedgerHead
from silo_node.rounds.records import RoundRecords
from silo_node.state import StudyDirectory
from silo_node.witnessing.known_heads import Known
from silo_node.witnessing.seen_heads import SeenHeads
from tests.secure_round import Cast, Round

OWN, STUDY = 2, b"s" * 32


class Silo:
    """Silo 2 of four with its ledger and folder; `said` is what each of the four advertises in a round."""

    def __init__(self, root: Path) -> None:
        self.cast = Cast(4)
        self.root = root
        self.ledger = Ledger.create(root / "ledger", "spiffe://test/silo/silo-2", self.cast.identities[OWN])
        self.records = RoundRecords(self.ledger, STUDY)
        self.records.add("round_opened", 1)

    @property
    def seen(self) -> SeenHeads:
        """As it is after a start."""
        return SeenHeads(self.cast.roster, OWN, StudyDirectory(self.root), self.records)

    def said(self, *heads: LedgerHead, by: int = 1, number: int = 1) -> tuple[Signed, ...]:
        run = Round(self.cast, number=number)
        messages = run.advertise(self.cast.everyone)
        body = advertise.build(run.places[by], run.secrets[by], heads)
        return tuple(self.cast.seal(by, body) if m.signer == f"silo-{by}" else m for m in messages)


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    made = Silo(tmp_path)
    yield made
    made.ledger.close()


def head(silo: int, size: int, mark: bytes = b"r") -> LedgerHead:
    return LedgerHead(silo, size, mark * 32)


def published(silo: Silo, *heads: LedgerHead) -> AdvertiseSet:
    """A set in which silos advertise these heads of their own."""
    run = Round(silo.cast)
    run.advertise(silo.cast.everyone)
    bodies: list[Advertise] = [
        advertise.build(run.places[index], run.secrets[index], tuple(one for one in heads if one.silo == index))
        for index in silo.cast.everyone
    ]
    return AdvertiseSet(b"d" * 32, tuple(bodies))


def test_it_tells_its_own_head_and_what_it_holds_of_others_also_after_a_start(silo: Silo) -> None:
    own = LedgerHead(OWN, *silo.ledger.head())
    assert silo.seen.told() == (own,)
    silo.seen.keep(published(silo, head(1, 5), own, head(3, 7)))
    assert silo.seen.told() == (head(1, 5), own, head(3, 7))


def test_a_head_is_held_until_its_silo_shared_in_a_round_that_showed_it(silo: Silo) -> None:
    seen = silo.seen
    seen.keep(published(silo, head(1, 20), head(3, 20)))
    later = published(silo, head(1, 9), head(3, 21))
    seen.keep(later)
    assert {one.size for one in seen.told() if one.silo != OWN} == {9, 20, 21}
    seen.answered(later, (2, 3))
    assert [one for one in seen.told() if one.silo == 1] == [head(1, 9), head(1, 20)], "silo 1 may not have looked"
    assert [one for one in seen.told() if one.silo == 3] == [head(3, 21)]


def test_a_silo_that_never_answers_costs_little_and_its_oldest_heads_stay(silo: Silo) -> None:
    seen = silo.seen
    for size in range(30, 10, -1):
        seen.keep(published(silo, head(1, size)))
    assert sorted(one.size for one in seen.told() if one.silo == 1) == [11, *range(24, 31)]
    assert len(silo.seen.told()) == MAX_HEADS + 1


def test_a_head_that_the_ledger_does_not_extend_is_refused_and_kept_for_a_person(silo: Silo) -> None:
    size, root = silo.ledger.head()
    silo.seen.heed(silo.said(LedgerHead(OWN, size, root)), 3)
    silo.records.add("reserved", 1, cohort="chest", event={})
    silo.seen.heed(silo.said(LedgerHead(OWN, size, root)), 3)
    for lost in (head(OWN, 40), head(OWN, size)):
        with pytest.raises(CorruptState, match=f"silo-1 knows it with {lost.size}") as caught:
            silo.seen.heed(silo.said(lost), 3)
        assert caught.value.code == "ledger.rolled_back"
        known = Known.load(StudyDirectory(silo.root))
        assert (known.newest_round, known.opened) == (2, 0)
        assert [(one.party, one.size) for one in known.heads] == [("silo-1", lost.size)]
    given_up = [{"party": "silo-1", "size": 40, "root": (b"r" * 32).hex()}]
    silo.ledger.append("recovered", {"reason": "test", "by": "Ada Roe", "witnesses": given_up, "size": 40})
    silo.seen.heed(silo.said(head(OWN, 40)), 3)


def test_what_is_said_of_other_ledgers_or_by_ourselves_is_not_heeded(silo: Silo) -> None:
    silo.seen.heed(silo.said(head(1, 40), head(3, 40)), 3)
    silo.seen.heed(silo.said(head(OWN, 40), by=OWN), 3)


def test_what_nobody_signed_is_not_believed(silo: Silo) -> None:
    first, *others = silo.said(head(OWN, 40))
    with pytest.raises(IdentityError):
        silo.seen.heed((replace(first, signer="silo-3"), *others), 3)


def test_heads_follow_their_silo_to_another_place_on_the_roster(silo: Silo) -> None:
    silo.seen.keep(published(silo, head(1, 5), head(3, 7)))
    _, own, third, fourth = silo.cast.roster.silos
    roster = silo.cast.roster.model_copy(update={"silos": (third, own, fourth)})
    again = SeenHeads(roster, OWN, StudyDirectory(silo.root), silo.records)
    assert [one for one in again.told() if one.silo != OWN] == [head(1, 7)]


@pytest.mark.parametrize("damage", ["", "7", "{}", '{"heads":7}', '{"heads":[[1,2]]}', '{"heads":[[1,2,"ff"]]}'])
def test_a_damaged_memory_is_said_to_be(silo: Silo, damage: str) -> None:
    (silo.root / "seen-heads").write_text(damage)
    with pytest.raises(CorruptState, match="seen-heads"):
        _ = silo.seen
