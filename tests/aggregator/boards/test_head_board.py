"""The aggregator cosigns heads that extend the last one, says once what does not, and passes on only what holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from privacy.channel.parties import parties_of
from privacy.errors import CollegiumError
from privacy.ledger.heads import note
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import verify
from privacy.ledger.heads.cosigner import state
from privacy.ledger.heads.watch import Watch
from privacy.ledger.tree import consistency_proof, leaf_hash, root
from privacy.wire.heads import ConsistencyProof, CosignedHead, HeadsGiven, HeadsShown, HeldHead
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members

LEAVES = [leaf_hash(bytes([number])) for number in range(40)]
OTHER = [leaf_hash(b"other"), *LEAVES[1:]]


@dataclass
class Silo:
    """A silo that shows made-up heads and witnesses for the others, over one folder."""

    hub: Hub
    index: int
    folder: Path
    keys: CosigningKeys = field(init=False)

    def __post_init__(self) -> None:
        identity = self.hub.members.of(self.index)
        self.keys = CosigningKeys(identity.member.uri, identity.keys.identity, MLDSA44PrivateKey.generate())
        self.watch = Watch(self.folder, self.keys)

    def give(
        self,
        size: int = 0,
        old: int = 0,
        leaves: list[bytes] = LEAVES,
        cosigned: tuple[CosignedHead, ...] = (),
        held: tuple[HeldHead, ...] = (),
    ) -> HeadsShown:
        text = note.checkpoint(self.keys.name, size, root(leaves[:size]), self.keys.ed25519) if size else ""
        proofs = (ConsistencyProof(old, consistency_proof(leaves[:size], old)),) if old else ()
        study = self.hub.members.study.digest()
        return self.hub.exchange_heads(self.index, HeadsGiven(study, state(self.keys), text, proofs, cosigned, held))

    def witness(self, owner: int, shown: HeadsShown) -> tuple[CosignedHead, HeldHead]:
        head = next(head for head in shown.heads if head.party == owner)
        party, nodes = parties_of(self.hub.members.study)[owner], head.proof and head.proof.nodes
        cosigned = self.watch.cosign(party.uri, party.identity, head.note, nodes, 5)
        size = note.read_checkpoint(cosigned, party.identity).size
        return CosignedHead(owner, cosigned), HeldHead(owner, size)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    return Members.enrol(tmp_path_factory.mktemp("members"))


@pytest.fixture
def hub(tmp_path: Path, members: Members) -> Hub:
    (tmp_path / "hub").mkdir()
    made = Hub(tmp_path / "hub", members)
    made.ledger.append("study_published", {"study_digest": members.study.digest().hex()})
    return made


@pytest.fixture
def silo(hub: Hub, tmp_path: Path) -> Callable[[int], Silo]:
    return lambda index: Silo(hub, index, tmp_path / f"silo-{index}")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(CollegiumError) as caught:
        call()
    return caught.value.code


def incidents(hub: Hub) -> list[str]:
    return [str(entry.body["code"]) for entry in hub.ledger.entries if entry.kind == "incident"]


def test_a_head_comes_back_cosigned_by_the_aggregator_and_the_others(hub: Hub, silo: Callable[[int], Silo]) -> None:
    north, south = silo(1), silo(2)
    parties = parties_of(hub.members.study)
    (own,) = north.give(10).cosigned
    assert verify(own.note, own.cosigner, parties[1], parties[0]).checkpoint.size == 10
    given, held = south.witness(1, south.give())
    south.give(cosigned=(given,), held=(held,))
    by = {head.party: head for head in north.give(20, old=10).cosigned}
    assert verify(by[0].note, by[0].cosigner, parties[1], parties[0]).checkpoint.size == 20
    assert verify(by[2].note, by[2].cosigner, parties[1], parties[2]).checkpoint.size == 10
    # What a witness needs to go on is asked of the owner, and given with the head.
    assert north.give().wanted == (10, 20)
    given, held = south.witness(1, south.give(held=(held,)))
    assert held.size == 20
    assert incidents(hub) == []


def test_the_aggregators_own_ledger_is_witnessed(hub: Hub, silo: Callable[[int], Silo]) -> None:
    south = silo(2)
    for _ in range(2):
        given, held = south.witness(0, south.give(held=()))
        south.give(cosigned=(given,), held=(held,))
        hub.ledger.append("incident", {"code": "made.up", "detail": str(held.size)})
        given, held = south.witness(0, south.give(held=(held,)))
        south.give(cosigned=(given,), held=(held,))
    kept = hub.root / "ledger" / "cosigned" / "silo-south.note"
    assert f"\n{hub.ledger.head()[0]}\n" in kept.read_text()


def test_a_ledger_that_goes_back_or_forks_is_refused_and_said_once(hub: Hub, silo: Callable[[int], Silo]) -> None:
    north, south = silo(1), silo(2)
    north.give(10)
    for _ in range(2):
        assert code_of(lambda: north.give(9)) == "ledger.rolled_back"
        assert code_of(lambda: north.give(10, leaves=OTHER)) == "ledger.forked"
        assert code_of(lambda: north.give(20, old=10, leaves=OTHER)) == "ledger.proof"
        assert code_of(lambda: north.give(20)) == "ledger.unproven"
    hub.restart()
    assert code_of(lambda: north.give(9)) == "ledger.rolled_back"
    assert incidents(hub) == ["ledger.rolled_back", "ledger.forked", "ledger.proof"]
    assert [head.party for head in south.give().heads] == [0]
    north.give(20, old=10)
    assert [head.party for head in south.give().heads] == [0, 1]


def test_cosignatures_that_do_not_hold_are_not_passed_on(hub: Hub, silo: Callable[[int], Silo]) -> None:
    north, south, east = silo(1), silo(2), silo(3)
    north.give(10)
    given, _ = south.witness(1, south.give())
    east.give(cosigned=(given,))  # south's, in east's name
    assert [head.party for head in north.give().cosigned] == [0]
    assert incidents(hub) == ["ledger.cosignature"]
    assert code_of(lambda: south.give(cosigned=(CosignedHead(2, given.note),))) == "protocol.malformed"
    assert code_of(lambda: south.give(cosigned=(CosignedHead(9, given.note),))) == "protocol.malformed"
    south.give(cosigned=(given,))
    assert [head.party for head in north.give().cosigned] == [0, 2]


def test_statements_of_others_and_other_studies_are_refused(hub: Hub, silo: Callable[[int], Silo]) -> None:
    north, south = silo(1), silo(2)
    foreign = HeadsGiven(hub.members.study.digest(), state(south.keys), "", (), (), ())
    assert code_of(lambda: hub.exchange_heads(1, foreign)) == "ledger.cosigner"
    assert code_of(lambda: hub.exchange_heads(1, HeadsGiven(b"x" * 32, state(north.keys), "", (), (), ()))) == (
        "study.unknown"
    )
