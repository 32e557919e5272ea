"""Silos that fall out at every step of a round: with t left it closes with exactly the sum of U3, else it is abandoned.

Real agents, aggregator, ciphertexts, masks and shares; only updates are made up, so that sums are known.
"""

import numpy as np
import pytest

from privacy.channel.envelope import Signed
from privacy.errors import RoundAbandoned
from privacy.secagg.ranges import Ranges
from privacy.wire.requests import Phase
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.stored_upload import StoredUpload
from tests.silo_node.direct import CountingLearner, Line, World

STEPS = ("advertise", "shares", "upload", "uploaded", "sign", "unmask", "close")
"""Where a silo is lost: just before it sends this; `uploaded`: just after its upload came through."""
LEAVES_IN_SUM = STEPS[3:]


class Gone(BaseException):
    """The silo is never seen again."""


class Leaving(Line):
    """A silo that is lost in round 1."""

    def __init__(self, world: World, index: int, step: str) -> None:
        super().__init__(world, index)
        self.step = step

    def submit(self, message: Signed) -> None:
        if message.kind == self.step:
            # A study begins when t silos are there: this one was.
            self.world.hub.board(1, Phase.ADVERTISED, 1, self.index)
            raise Gone
        super().submit(message)

    def upload(self, upload: StoredUpload) -> int:
        if self.step == "upload":
            raise Gone
        sent = super().upload(upload)
        if self.step == "uploaded":
            raise Gone
        return sent


class Late(Line):
    """A silo whose upload of round 1 comes when the sum is already published."""

    def upload(self, upload: StoredUpload) -> int:
        self.wait(1, Phase.SURVIVORS)
        return super().upload(upload)


def play(world: World, lost: dict[int, str]) -> list[int]:
    """Run the study; returns who stayed."""
    everyone = range(1, len(world.members.silos) + 1)
    for index in everyone:
        world.start(index, Leaving(world, index, lost[index]) if index in lost else None)
    world.finish(40)
    for index in lost:
        assert isinstance(world.running[index].error, Gone), world.running[index].error
    return [index for index in everyone if index not in lost]


def updates(world: World, number: int, members: list[int]) -> np.ndarray:
    """The mean of these silos' updates."""
    vectors = []
    for index in members:
        learner = world.running[index].agent.learner
        assert isinstance(learner, CountingLearner)
        vectors.append(learner.update(number))
    return np.asarray(sum(vectors) / len(vectors))


def survivors(world: World) -> dict[int, list[int]]:
    return {
        int(entry.body["round"]): list(entry.body["silos"])  # type: ignore[arg-type, call-overload]
        for entry in world.hub.ledger.entries
        if entry.kind == "survivors"
    }


def closed_exactly(world: World, stayed: list[int]) -> None:
    """All that stayed have the model which the sums of the published survivors give, and the same chain."""
    results = [world.running[index].result for index in stayed]
    assert all(isinstance(one, GlobalModel) for one in results), [world.running[index].error for index in stayed]
    models = [one for one in results if one is not None]
    assert len({one.chain for one in models}) == 1
    trained = [updates(world, number, members) for number, members in survivors(world).items() if number <= 2]
    for one in models:
        np.testing.assert_array_equal(one.optimizer.weights, models[0].optimizer.weights)
        np.testing.assert_allclose(one.optimizer.weights, sum(trained), atol=1e-3)
    for index in stayed:
        assert [body["outcome"] for body in world.entries(index, "closed")] == ["closed"] * 3


@pytest.mark.parametrize("step", STEPS)
def test_a_round_closes_with_exactly_the_sum_of_the_three_that_stay_of_four(large: World, step: str) -> None:
    stayed = play(large, {2: step})
    closed_exactly(large, stayed)
    assert survivors(large)[1] == ([1, 2, 3, 4] if step in LEAVES_IN_SUM else [1, 3, 4])
    assert survivors(large)[2] == [1, 3, 4]


@pytest.mark.parametrize("step", ["shares", "upload", "unmask"])
def test_a_round_closes_with_exactly_the_sum_of_the_four_that_stay_of_five(five: World, step: str) -> None:
    stayed = play(five, {5: step})
    closed_exactly(five, stayed)
    assert survivors(five)[2] == [1, 2, 3, 4]


def test_a_late_upload_is_not_in_the_sum_and_its_silo_goes_on(large: World) -> None:
    for index in (1, 2, 3, 4):
        large.start(index, Late(large, index) if index == 3 else None)
    large.finish(40)
    closed_exactly(large, [1, 2, 3, 4])
    assert survivors(large) == {1: [1, 2, 4], 2: [1, 2, 3, 4], 3: [1, 2, 3, 4]}
    assert [body["code"] for body in large.entries(3, "incident")] == ["round.omitted"]


REASONS = {
    "advertise": "too_few_advertised",
    "shares": "too_few_shared",
    "upload": "too_few_uploads",
    "sign": "too_few_signatures",
    "unmask": "too_few_unmasked",
}


@pytest.mark.parametrize("step", REASONS)
def test_below_t_the_round_is_abandoned_on_every_side(large: World, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranges, "first", lambda tensors: Ranges((-3,) * tensors))
    stayed = play(large, {2: step, 4: step})
    spent = 1 if STEPS.index(step) >= STEPS.index("upload") else 0
    for index in stayed:
        one = large.running[index]
        assert isinstance(one.error, RoundAbandoned), one.error
        assert [body["outcome"] for body in large.entries(index, "closed")] == ["abandoned"] * 2
        incidents = large.entries(index, "incident")
        assert [body["code"] for body in incidents] == ["round.abandoned"] * 2
        assert REASONS[step] in str(incidents[0]["detail"])
        assert len(large.entries(index, "reserved")) == len(large.entries(index, "spent")) == spent
        assert not list(one.agent.runtime.iterdir()), "secrets of an abandoned round are left"
        assert not one.agent.folder.upload.exists()
        model = GlobalModel.load(one.agent.folder.model_file)
        assert not model.optimizer.weights.any(), "an abandoned round moved the model"
        assert model.ranges.powers == (-3,), "an abandoned round moved the ranges"
    ends = [entry.body["outcome"] for entry in large.hub.ledger.entries if entry.kind == "closed"]
    assert ends == ["abandoned"] * 2
    assert not list(large.hub.root.rglob("frame-*"))


def test_a_restarted_silo_still_counts_the_round_abandoned_before(large: World) -> None:
    """An aggregator cannot burn budgets by making silos restart between two abandoned rounds."""

    class Restarting(Line):
        def wait(self, round_number: int, phase: Phase, said=()):  # type: ignore[no-untyped-def]
            if round_number == 2:
                raise Gone
            return super().wait(round_number, phase)

    for index in (1, 2, 3, 4):
        lines = {1: Restarting(large, 1), 2: Leaving(large, 2, "upload"), 4: Leaving(large, 4, "upload")}
        large.start(index, lines.get(index))
    large.running[3].thread.join(0.1)
    large.finish(40)
    assert isinstance(large.running[1].error, Gone)
    large.running[1].agent.ledger.close()
    large.start(1)
    large.finish(40)
    assert isinstance(large.running[1].error, RoundAbandoned)
