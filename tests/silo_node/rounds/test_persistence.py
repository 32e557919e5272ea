"""The protocol's table of persistence at one silo: what it has, and has no more, at each thing that it says or does."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.secagg.masked import MaskedFrame
from privacy.secagg.round_keys import RoundSecrets
from privacy.update import PrivateUpdate
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.standing import Standing
from silo_node.rounds.stored_upload import StoredUpload, UnsignedUpload
from tests.aggregator.members import Members
from tests.silo_node.direct import CountingLearner, Line, World, with_rounds

SILO = 2
OPENED = {"round_opened"}
RESERVED = OPENED | {"release", "reserved"}
SPENT = RESERVED | {"spent"}
SIGNED = SPENT | {"survivors_signed"}
SENT = {"advertise", "shares", "trained", "upload"}
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "make secrets": (OPENED, set()),
    "advertise": (OPENED, {"secrets", "advertise"}),
    "shares": (OPENED, {"secrets", "advertise", "shares"}),
    "read a patient": (RESERVED, {"secrets", "advertise", "shares", "held", "trained"}),
    "keep a frame": (SPENT, {"secrets", "advertise", "shares", "held", "trained"}),
    "upload": (SPENT, SENT | {"held"}),
    "sign": (SIGNED, SENT | {"held"}),
    "unmask": (SIGNED, SENT | {"unmask"}),
    "close": (SIGNED | {"closed"}, {"model"}),
}
"""In the order in which they are done: which entries of the round the ledger has then, and what else is kept of it."""


class Killed(BaseException):
    """The process is gone."""


class Watched(Line):
    """A line that looks at what its silo has at the instant of each thing that it says or does in round 1.

    The silo ends once it has looked at `last`, which is seen enough.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world, SILO)
        self.seen: dict[str, tuple[set[str], set[str]]] = {}
        self.last = "close"

    def look(self, what: str) -> None:
        if what not in TABLE or what in self.seen:
            return
        agent = self.world.running[self.index].agent
        of_round = {entry.kind for entry in agent.ledger.entries if entry.body.get("round") == 1}
        kept = {path.name for path in agent.runtime.iterdir()} - {"ctx"}
        if (agent.folder.upload / "header").exists():
            kept.add("upload")
        if agent.folder.model_file.exists():
            assert GlobalModel.load(agent.folder.model_file).round_number == 1
            kept.add("model")
        self.seen[what] = (of_round, kept)
        if what == self.last:
            raise Killed

    def submit(self, message: Signed) -> None:
        self.look(message.kind)
        super().submit(message)

    def upload(self, upload: StoredUpload) -> int:
        self.look("upload")
        return super().upload(upload)


@pytest.fixture
def line(tmp_path: Path, members: Members, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Of a silo in a study with one round that trains; it is told, too, of what is done without a message."""
    world = World(tmp_path / "world", with_rounds(members, 1))
    watched = Watched(world)
    generate, train, add = RoundSecrets.generate, CountingLearner.train, UnsignedUpload.add

    def generating() -> RoundSecrets:
        if threading.current_thread() is world.running[SILO].thread:
            watched.look("make secrets")
        return generate()

    def training(learner: CountingLearner, weights: object, number: int) -> PrivateUpdate:
        if learner.index == SILO:
            watched.look("read a patient")
        return train(learner, weights, number)

    def adding(upload: UnsignedUpload, frame: MaskedFrame) -> None:
        if threading.current_thread() is world.running[SILO].thread:
            watched.look("keep a frame")
        add(upload, frame)

    monkeypatch.setattr(RoundSecrets, "generate", generating)
    monkeypatch.setattr(CountingLearner, "train", training)
    monkeypatch.setattr(UnsignedUpload, "add", adding)
    with world.working():
        yield watched


def run_all(line: Watched) -> None:
    """Until the watched silo ends."""
    world = line.world
    for index in world.everyone:
        world.start(index, line if index == SILO else None)
    world.until_ended(SILO)
    assert isinstance(world.running[SILO].error, Killed), world.running[SILO].error


def test_each_thing_is_said_and_done_with_what_the_table_lets_a_silo_have(line: Watched) -> None:
    run_all(line)
    assert list(line.seen) == list(TABLE)
    assert line.seen == TABLE


@pytest.mark.parametrize(("erasing", "then"), [("forget_secrets", "upload"), ("forget_held", "unmask")])
def test_what_a_stop_kept_from_being_erased_is_erased_before_anything_is_said(
    line: Watched, monkeypatch: pytest.MonkeyPatch, erasing: str, then: str
) -> None:
    world, killed = line.world, []
    erase = getattr(RoundVault, erasing)

    def dying(vault: RoundVault) -> None:
        if vault.folder.is_relative_to(world.folder(SILO)) and not killed:
            killed.append({path.name for path in vault.folder.iterdir()})
            raise Killed
        erase(vault)

    monkeypatch.setattr(RoundVault, erasing, dying)
    line.last = then
    run_all(line)
    assert killed[0] - {"ctx"} == (TABLE[then][1] | {erasing.removeprefix("forget_")}) - {"upload"}
    assert then not in line.seen
    world.running[SILO].agent.ledger.close()
    world.start(SILO, line)
    world.until_ended(SILO)
    assert line.seen[then] == TABLE[then]


def test_a_round_that_a_stop_kept_from_being_erased_is_erased_before_its_close_is_told(
    line: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, killed = line.world, []
    erase = Standing.forget_round

    def dying(standing: Standing) -> None:
        if standing.name == world.running[SILO].agent.identity.member.name and not killed:
            killed.append({path.name for path in standing.runtime.iterdir()})
            raise Killed
        erase(standing)

    monkeypatch.setattr(Standing, "forget_round", dying)
    run_all(line)
    assert killed[0] >= {"unmask"}
    assert "close" not in line.seen
    world.running[SILO].agent.ledger.close()
    world.start(SILO, line)
    world.until_ended(SILO)
    assert line.seen["close"] == TABLE["close"]


def test_a_round_that_is_opened_and_not_applied_keeps_what_it_needs(
    line: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one: of the first there is no model yet that a start could take for its outcome."""
    world, killed, erased = line.world, [], []
    line.last = "nothing"
    advance, erase = Standing.advance, Standing.forget_round

    def dying(standing: Standing, model: GlobalModel) -> GlobalModel:
        if standing.name == world.running[SILO].agent.identity.member.name and model.round_number == 2 and not killed:
            killed.append(standing.own_close(2))
            raise Killed
        return advance(standing, model)

    def erasing(standing: Standing) -> None:
        if standing.name == world.running[SILO].agent.identity.member.name and killed:
            erased.append(GlobalModel.load(standing.folder.model_file).round_number)
        erase(standing)

    monkeypatch.setattr(Standing, "advance", dying)
    monkeypatch.setattr(Standing, "forget_round", erasing)
    run_all(line)
    assert killed != [None]
    world.running[SILO].agent.ledger.close()
    world.start(SILO, line)
    world.until_ended(SILO)
    assert erased[0] == 2
