"""After its rounds each ledger has the others' cosignatures over heads that it extends; no round waits for them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.parties import parties_of
from privacy.errors import Unreachable
from privacy.ledger.heads.cosigned import verify
from privacy.ledger.reader import read
from privacy.wire.heads import CosignedHead, HeadsGiven, HeadsShown
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World, with_rounds


def cosigned(world: World, owner: int) -> dict[int, int]:
    """By witness, the size of the newest head that it cosigned: everything is verified, and the ledger extends it."""
    folder = (world.folder(owner) if owner else world.root / "hub") / "ledger"
    parties, whole, found = parties_of(world.members.study), read(folder), {}
    for index, witness in enumerate(parties):
        path = folder / "cosigned" / f"{'-'.join(witness.uri.split('/')[-2:])}.note"
        if path.exists():
            statement = path.with_suffix(".cosigner").read_bytes()
            head = verify(path.read_text(), statement, parties[owner], witness).checkpoint
            roots = [*(entry.previous for entry in whole.entries), whole.root.hex()]
            assert roots[head.size] == head.root.hex()
            found[index] = head.size
    return found


def codes(world: World, index: int) -> list[object]:
    return [body["code"] for body in world.entries(index, "incident")]


def played(world: World, *lines: Line) -> None:
    for index in world.everyone:
        world.start(index, next((line for line in lines if line.index == index), None))
    world.finish()
    assert [one.error for one in world.running.values()] == [None] * 3


@pytest.fixture
def short(tmp_path: Path, members: Members) -> Iterator[World]:
    world = World(tmp_path / "world", with_rounds(members, 1))
    with world.working():
        yield world


def test_every_ledger_is_cosigned_by_all_others(short: World) -> None:
    played(short)
    for owner in (0, *short.everyone):
        assert sorted(cosigned(short, owner)) == [one for one in range(4) if one != owner]
    for owner in short.everyone:
        closed = next(e.sequence for e in short.running[owner].agent.ledger.entries if e.kind == "closed")
        assert min(cosigned(short, owner).values()) > closed
        assert codes(short, owner) == []
        assert not [entry for entry in short.entries(owner, "witnessed") if entry["round"] == 0]
    assert "incident" not in short.hub.kinds()


class Deaf(Line):
    """Exchanges nothing."""

    def exchange_heads(self, given: HeadsGiven) -> HeadsShown:
        raise Unreachable("the test has cut this line")


class Altering(Line):
    """Changes what passes on the way to this silo."""

    def exchange_heads(self, given: HeadsGiven) -> HeadsShown:
        shown = super().exchange_heads(given)
        heads = tuple(replace(head, note=head.note.replace("\n", "\n0", 1)) for head in shown.heads if head.party != 1)
        swapped = tuple(replace(head, party=3 if head.party == 0 else head.party) for head in shown.cosigned[:1])
        return HeadsShown(heads, (*swapped, CosignedHead(2, "nobody's")), (*shown.wanted, 10**9))


def test_no_round_fails_without_witnesses_or_with_a_lying_relay(short: World) -> None:
    played(short, Deaf(short, 1), Altering(short, 2))
    assert cosigned(short, 1) == {} == cosigned(short, 2)
    assert codes(short, 1) == []
    assert set(codes(short, 2)) == {"ledger.proof", "ledger.cosigner"}
    assert sorted(cosigned(short, 3)) == [0]
    assert not list((short.folder(2) / "ledger" / "seen").glob("*.note"))


def test_a_ledger_put_back_is_no_longer_cosigned_and_each_witness_says_so(short: World) -> None:
    """Here it is put back behind the start's check, between two runs of the exchange."""
    played(short)
    before = cosigned(short, 2)
    victim, witness = (short.running[index].agent._cosigning for index in (2, 3))
    ledger = short.folder(2) / "ledger"
    short.running[2].agent.ledger.close()
    lines = (ledger / "entries.jsonl").read_bytes().splitlines(keepends=True)
    shutil.rmtree(ledger)
    key, uri = victim.keys.ed25519, victim.ledger.origin
    type(victim.ledger).create(ledger, uri, key).close()
    (ledger / "entries.jsonl").write_bytes(b"".join(lines[: max(before.values()) - 3]))
    agent = short.agent(2)
    short.running[2].agent = agent
    for _ in range(2):
        agent._cosigning.exchange()
        witness.exchange()
    # The owner is told by those who know more, and refused by the aggregator; both say it once.
    assert set(codes(short, 2)) == {"ledger.rolled_back"}
    assert [e.body["code"] for e in short.hub.ledger.entries if e.kind == "incident"] == ["ledger.rolled_back"]
    assert cosigned(short, 2) == {}


def exchanged(world: World) -> None:
    """Everybody's head with everybody, and back with the cosignatures."""
    for _ in range(2):
        for index in world.everyone:
            world.running[index].agent._cosigning.exchange()


def test_a_damaged_memory_of_one_party_leaves_that_party_out_only(short: World) -> None:
    played(short)
    exchanged(short)  # what was cosigned last has come back to its owner
    witness = 3
    before = {owner: cosigned(short, owner)[witness] for owner in (1, 2)}
    name = parties_of(short.members.study)[2].uri.rsplit("/", 1)[-1]
    (short.folder(witness) / "ledger" / "seen" / f"silo-{name}.note").write_bytes(b"\xff damaged")
    for owner in (1, 2):
        short.running[owner].agent.ledger.append("incident", {"code": "test.later", "detail": "one more entry"})
    exchanged(short)
    assert cosigned(short, 1)[witness] > before[1]
    assert cosigned(short, 2)[witness] == before[2]
    assert cosigned(short, 2)[1] > before[2]
    (told,) = short.entries(witness, "incident")
    assert told["code"] == "ledger.seen"
    assert name in str(told["detail"])
