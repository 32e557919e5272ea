"""A silo's ledger that was restored from a backup, or forked, is found on start by what others keep of it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, ConfigError, PolicyRefused
from privacy.ledger.store import Ledger
from privacy.wire import bodies
from privacy.wire.heads import HeadAnswer
from privacy.wire.messages import Close
from silo_node.approvals.approval import Approval
from silo_node.state import StateDirectory
from silo_node.witnessing import recovery
from silo_node.witnessing.known_heads import Known
from silo_node.witnessing.recovery import Recovery
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World, patiently_opened, with_rounds

VICTIM = 2


def error_of(world: World, line: Line | None = None) -> BaseException | None:
    """What a new start of the victim raises."""
    world.running[VICTIM].agent.ledger.close()
    again = world.start(VICTIM, line)
    again.thread.join(20)
    again.agent.ledger.close()
    return again.error


def code_of(world: World, line: Line | None = None) -> str:
    error = error_of(world, line)
    assert isinstance(error, CollegiumError), error
    return error.code


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory, members: Members) -> Iterator[World]:
    """All rounds are over."""
    root = tmp_path_factory.mktemp("over")
    made = World(root / "world", with_rounds(members, 2))
    with made.working():
        for index in made.everyone:
            made.start(index)
        made.finish()
        assert [one.error for one in made.running.values()] == [None] * 3
        made.running[VICTIM].agent.ledger.close()
        shutil.copytree(made.folder(VICTIM), root / "kept")
        yield made


@pytest.fixture
def finished(over: World) -> World:
    """The same for each test, whatever an earlier one did to the victim."""
    over.running[VICTIM].agent.ledger.close()
    shutil.rmtree(over.folder(VICTIM))
    shutil.copytree(over.root.parent / "kept", over.folder(VICTIM))
    return over


def ledger_folder(world: World) -> Path:
    return world.folder(VICTIM) / "ledger"


def restore(world: World, kept: int) -> None:
    """The ledger as it was when it had so many entries: rightly signed, and older."""
    key, folder = world.members.of(VICTIM).keys.identity, ledger_folder(world)
    with Ledger.open(folder, key) as newer:
        entries, origin = newer.entries, newer.origin
    shutil.rmtree(folder)
    Ledger.create(folder, origin, key).close()
    lines = b"".join(entry.line() + b"\n" for entry in entries[:kept])
    (folder / "entries.jsonl").write_bytes(lines)
    Ledger.open(folder, key).close()  # the head follows whole entries


def closed_entry(world: World, number: int) -> int:
    entries = world.running[VICTIM].agent.ledger.entries
    return next(e.sequence for e in entries if e.kind == "closed" and e.body["round"] == number)


class Answering(Line):
    """Changes or replaces what the aggregator says of the ledger."""

    replayed: Signed | None = None
    changes: dict[str, object]

    def ask_head(self, nonce: bytes) -> Signed:
        if self.replayed is not None:
            return self.replayed
        hub = self.world.members.hub
        answer = bodies.open_signed(super().ask_head(nonce), HeadAnswer, hub.keys.public_identity)
        changed = replace(answer, **self.changes)  # type: ignore[arg-type]
        return bodies.seal(changed, hub.member.name, hub.keys.identity)


def answering(world: World, **changes: object) -> Answering:
    line = Answering(world, VICTIM)
    line.changes = changes
    return line


def test_a_restored_backup_a_fork_and_a_replayed_answer_are_refused_and_a_person_goes_on(finished: World) -> None:
    world = finished
    assert error_of(world) is None
    whole = world.running[VICTIM].agent.ledger.entries
    old = world.hub.ask_head(VICTIM, b"o" * 32)
    replaying = answering(world)
    replaying.replayed = old
    assert code_of(world, replaying) == "witness.replayed"

    restore(world, closed_entry(world, 1) + 1)
    assert code_of(world) == "ledger.rolled_back"
    trained = list(world.trained)
    # the aggregator keeps its copies back: the others' Closes tell
    assert code_of(world, answering(world, close=None, advertise=None)) == "ledger.rolled_back"
    # and so do the heads that others cosigned, alone
    alone = answering(world, close=None, advertise=None, others=())
    assert code_of(world, alone) == "ledger.rolled_back"
    # without the others, the round that we began tells
    assert code_of(world, answering(world, close=None, others=(), cosigned=())) == "ledger.rolled_back"
    assert world.trained == trained

    identity = world.members.of(VICTIM)
    folder = StateDirectory(world.folder(VICTIM)).study(world.members.study.name)
    with patiently_opened(StateDirectory(world.folder(VICTIM)), identity) as ledger:
        found = Recovery(ledger, folder, world.members.study, "chest", Known.load(folder))
        assert found.missing == ()
        assert [one.round_number for one in found.due] == [2]
        found.give_up("Ada", "disk lost", world.folder(VICTIM) / "runtime")
        assert [e.body["round"] for e in ledger.entries if e.kind == "reserved"] == [1, 2]
    assert code_of(world) == "ledger.rolled_back"  # the heads of all three witnesses come back
    with patiently_opened(StateDirectory(world.folder(VICTIM)), identity) as ledger:
        found = Recovery(ledger, folder, world.members.study, "chest", Known.load(folder))
        assert found.due == ()
        assert f"{found.missing[0].size} entries" in found.explain()
        found.give_up("Ada", "disk lost", world.folder(VICTIM) / "runtime")
        assert not folder.rolled_back.exists()
        assert len(ledger.entries) < len(whole) + 4
    assert error_of(world) is None
    assert world.trained == trained


def test_the_same_size_with_another_entry_is_a_fork(finished: World) -> None:
    world = finished
    last = closed_entry(world, 3)
    restore(world, last - 1)
    with Ledger.open(ledger_folder(world), world.members.of(VICTIM).keys.identity) as ledger:
        for _ in range(4):
            ledger.append("incident", {"code": "made.up", "detail": "instead of what was there"})
    assert code_of(world) == "ledger.rolled_back"


def test_an_aggregator_that_forgot_is_no_witness_unless_policy_says_so(finished: World) -> None:
    world = finished
    nothing = answering(world, close=None, advertise=None, others=(), cosigned=())
    assert code_of(world, nothing) == "witness.forgot"
    world.running[VICTIM].agent.ledger.close()
    agent = world.agent(VICTIM, nothing)
    agent.witnesses_required = False
    agent.__post_init__()
    agent._witnesses.check()
    assert agent.ledger.entries[-1].body["code"] == "witness.forgot"
    agent.ledger.close()


def test_heads_that_no_silo_signed_are_not_believed(finished: World) -> None:
    world = finished
    hub = world.members.hub
    answer = bodies.open_signed(world.hub.ask_head(VICTIM, b"n" * 32), HeadAnswer, hub.keys.public_identity)
    assert answer.close is not None
    assert len(answer.others) == 2
    assert [head.party for head in answer.cosigned] == [0, 1, 3]
    other = bodies.open_signed(world.hub.ask_head(1, b"n" * 32), HeadAnswer, hub.keys.public_identity)
    for lie in (
        {"close": answer.others[0]},
        {"close": replace(answer.close, signature=bytes(64))},
        {"advertise": answer.close},
        {"others": (replace(answer.others[0], signer="south"),)},
        {"cosigned": (replace(answer.cosigned[0], note=other.cosigned[0].note),)},
        {"cosigned": (replace(answer.cosigned[0], party=9),)},
    ):
        assert code_of(world, answering(world, **lie)) == "witness.forged"


def test_a_close_names_the_heads_of_the_others_as_its_silo_saw_them(finished: World) -> None:
    answer = bodies.open_signed(
        finished.hub.ask_head(VICTIM, b"n" * 32), HeadAnswer, finished.members.hub.keys.public_identity
    )
    for other in answer.others:
        index = finished.members.study.roster.index(other.signer)
        close = bodies.open_signed(other, Close, finished.members.of(index).keys.public_identity)
        assert [head.silo for head in close.witnessed] == [silo for silo in (1, 2, 3) if silo != index]


def test_recovery_asks_and_without_a_yes_or_a_refused_start_nothing_changes(
    finished: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, asked = finished, []
    directory, study = StateDirectory(world.folder(VICTIM)), world.members.study
    approved = Approval(study_digest=study.digest().hex(), cohort="chest", by="Ada")
    monkeypatch.setattr(StateDirectory, "identity", lambda _: world.members.of(VICTIM))
    monkeypatch.setattr(recovery, "load_approved", lambda folder, key: (study, approved))

    def recover(answer: bool, reason: str = "disk lost") -> None:
        def ask(explanation: str) -> bool:
            asked.append(explanation)
            return answer

        recovery.recover(directory, study.name, "Ada", reason, world.folder(VICTIM) / "runtime", ask)

    with pytest.raises(ConfigError) as caught:
        recover(True)
    assert caught.value.code == "ledger.nothing_to_recover"
    restore(world, closed_entry(world, 1) + 1)
    assert code_of(world) == "ledger.rolled_back"
    before = (ledger_folder(world) / "entries.jsonl").read_bytes()
    with pytest.raises(ConfigError):
        recover(True, reason=" ")
    with pytest.raises(PolicyRefused):
        recover(False)
    assert (ledger_folder(world) / "entries.jsonl").read_bytes() == before
    recover(True)
    assert len(asked) == 2
    assert "1 steps of round 2" in asked[0]
    assert error_of(world) is None
    entries = world.running[VICTIM].agent.ledger.entries
    told = next(entry.body for entry in entries if entry.kind == "recovered")
    assert (told["by"], told["reason"], len(told["witnesses"])) == ("Ada", "disk lost", 6)  # type: ignore[arg-type]
