"""A silo that lost all but its ledger takes the state from others, whatever a liar shows it first."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, CorruptState, ProtocolError
from privacy.secagg.chain import Outcome
from privacy.secagg.ranges import Ranges
from privacy.update import UpdateLayout
from privacy.wire import bodies
from privacy.wire.messages import Close
from privacy.wire.requests import Board, Phase
from privacy.wire.snapshots import SnapshotOffer
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import OptimizerState
from silo_node.rounds.snapshot import model_of, state_of
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World, with_rounds

VICTIM, FRIEND = 4, 1
LAYOUT = UpdateLayout(tensors=(("a", (3,)), ("b", (2, 1))), metric_fields=2)
vectors = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5).map(np.array)
kept = vectors | st.just(np.empty(0))
models = st.builds(
    GlobalModel,
    st.builds(OptimizerState, vectors, kept, kept, kept, st.integers(0, 2**40)),
    st.lists(st.integers(-12, 4), min_size=2, max_size=2).map(tuple).map(Ranges),
    st.just(4),
    st.just(b"h" * 32),
)
D = b"d" * 32


def offer(size: int) -> SnapshotOffer:
    return SnapshotOffer(D, 4, 1, b"h" * 32, D, size, (D,))


# ---- the bytes of a state


@given(models)
def test_a_model_comes_back_from_its_bytes(model: GlobalModel) -> None:
    state = bytearray(b"".join(state_of(model)))
    back = model_of(state, offer(len(state)), LAYOUT)
    for name in ("weights", "average", "first", "second"):
        assert getattr(back.optimizer, name).tobytes() == getattr(model.optimizer, name).tobytes()
    assert back.optimizer.steps == model.optimizer.steps
    assert (back.ranges, back.round_number, back.chain, back.outcome) == (model.ranges, 4, b"h" * 32, Outcome.CLOSED)


@given(models)
def test_rounds_that_were_abandoned_after_it_are_no_part_of_a_state(model: GlobalModel) -> None:
    later = replace(model, round_number=6, chain=b"i" * 32, outcome=Outcome.ABANDONED)
    assert b"".join(state_of(later)) == b"".join(state_of(model))


SOUND = GlobalModel(OptimizerState(np.arange(5.0), *[np.empty(0)] * 3, 7), Ranges((0, 1)), 4, b"h" * 32)


def words(*changes: tuple[int, int]) -> Callable[[bytearray], bytearray]:
    def change(state: bytearray) -> bytearray:
        for index, value in changes:
            state[8 * index : 8 * index + 8] = value.to_bytes(8, "little", signed=True)
        return state

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state[:-1],
        lambda state: state + b"\0",
        words((1, 4)),
        words((1, 0), (2, 5)),
        words((2, 5)),
        words((2, 2**62)),
        words((2, -5), (3, 5)),
        words((0, -1)),
        words((5, 3)),
        lambda state: state[:48] + np.array([np.nan]).tobytes() + state[56:],
        lambda state: state[:48] + np.array([np.inf]).tobytes() + state[56:],
        lambda state: state[:-1] + b"\x7f",
    ],
    ids=[
        *("cut", "longer", "another network", "no weights", "too short", "absurd", "negative", "negative steps"),
        *("other ranges", "not a number", "infinite", "range out of bounds"),
    ],
)
def test_bytes_that_are_no_state_of_the_network_are_refused(spoil: Callable[[bytearray], bytearray]) -> None:
    state = bytearray(b"".join(state_of(SOUND)))
    model_of(bytearray(state), offer(len(state)), LAYOUT)
    with pytest.raises(ProtocolError) as caught:
        model_of(bytearray(spoil(state)), offer(len(state)), LAYOUT)
    assert caught.value.code == "snapshot.altered"


# ---- taken from others


class Gone(Exception):
    """A silo that stops between rounds."""


class StopsAfter(Line):
    """A silo that ends after its Close of round 2 was taken."""

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        if (round_number, phase) == (2, Phase.CLOSED):
            raise Gone
        return super().wait(round_number, phase)


Lie = Callable[[Members, Board], Board]


class Lying(Line):
    """Shows one silo something else where it looks for a snapshot or for who stands behind it."""

    offered: Lie | None = None
    closed: Lie | None = None
    spoil: Callable[[bytes], bytes] | None = None

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        board = super().wait(round_number, phase)
        if phase == Phase.SNAPSHOT_OFFERED and self.offered is not None:
            return self.offered(self.world.members, board)
        if (round_number, phase) == (2, Phase.CLOSED) and self.closed is not None:
            return self.closed(self.world.members, board)
        return board

    def snapshot_frames(self, shown: SnapshotOffer, folder: Path) -> None:
        super().snapshot_frames(shown, folder)
        if self.spoil is not None:
            frame = folder / "frame-0"
            frame.write_bytes(self.spoil(frame.read_bytes()))


@pytest.fixture
def lost(tmp_path: Path, four: Members) -> Iterator[World]:
    """Three silos wait in round 3 for a fourth, which has nothing but its ledger."""
    world = World(tmp_path / "world", with_rounds(four, 3))
    with world.working():
        for index in (1, 2, 3):
            world.start(index)
        victim = world.start(VICTIM, StopsAfter(world, VICTIM))
        victim.thread.join(30)
        assert isinstance(victim.error, Gone), victim.error
        forget(world)
        yield world


def forget(world: World) -> None:
    world.running[VICTIM].agent.ledger.close()
    shutil.rmtree(world.folder(VICTIM) / "studies")


def again(world: World, **lies: object) -> CollegiumError:
    """Start the silo before an aggregator that lies; what it raised."""
    line = Lying(world, VICTIM)
    for name, lie in lies.items():
        setattr(line, name, lie)
    one = world.start(VICTIM, line)
    one.thread.join(30)
    assert isinstance(one.error, CollegiumError), one.error
    assert not one.agent.folder.model_file.exists()
    assert not one.agent.folder.snapshot.exists()
    assert "snapshot_taken" not in [entry.kind for entry in one.agent.ledger.entries]
    assert world.entries(VICTIM, "incident")[-1]["code"] == one.error.code
    forget(world)
    return one.error


def reoffered(signer: int = FRIEND, **changes: object) -> Lie:
    """The offer with changes, signed by a silo that plays along."""

    def lie(members: Members, board: Board) -> Board:
        (message,) = board.messages
        giver = members.study.roster.index(message.signer)
        shown = bodies.open_signed(message, SnapshotOffer, members.of(giver).keys.public_identity)
        altered = replace(shown, **{"silo_index": signer, **changes})  # type: ignore[arg-type]
        return replace(board, messages=(members.seal(signer, altered),))

    return lie


def reclosed(*silos: int, **changes: object) -> Lie:
    """The first Close with changes, signed by silos that play along."""

    def lie(members: Members, board: Board) -> Board:
        message = board.messages[0]
        giver = members.study.roster.index(message.signer)
        close = bodies.open_signed(message, Close, members.of(giver).keys.public_identity)
        altered = replace(close, **changes)  # type: ignore[arg-type]
        return replace(board, messages=tuple(members.seal(index, altered) for index in silos))

    return lie


def forged(members: Members, board: Board) -> Board:
    last: Signed = board.messages[-1]
    return replace(board, messages=(*board.messages[:-1], replace(last, signature=bytes(64))))


def test_wrong_forged_and_unvouched_snapshots_are_refused_and_then_the_right_one_taken(lost: World) -> None:
    another = {"chain": b"x" * 32}
    for lies, code in (
        ({"closed": lambda _, board: replace(board, messages=board.messages[:2])}, "snapshot.too_few_closes"),
        ({"closed": reclosed(1, 1, 2, 2)}, "snapshot.too_few_closes"),
        ({"closed": reclosed(1, 2, 3, state_mac=D)}, "snapshot.too_few_closes"),
        ({"closed": forged}, "identity.bad_signature"),
        ({"offered": reoffered(2, silo_index=3)}, "snapshot.wrong_name"),
        ({"offered": reoffered(state_mac=D)}, "snapshot.too_few_closes"),
        ({"offered": reoffered(size=200)}, "snapshot.size"),
        ({"offered": reoffered(frame_sha256=(D,))}, "snapshot.altered"),
        ({"spoil": lambda frame: frame[:-1] + bytes([frame[-1] ^ 1])}, "snapshot.altered"),
        # t silos that lie together meet the ledger of the one they lie to.
        ({"offered": reoffered(**another), "closed": reclosed(1, 2, 3, **another)}, "snapshot.other_history"),
    ):
        assert again(lost, **lies).code == code, code

    lost.start(VICTIM)
    lost.finish()
    models = [lost.running[index].result for index in lost.everyone]
    assert [model.chain for model in models if model] == [models[0].chain] * 4 if models[0] else False
    assert {model.optimizer.weights.tobytes() for model in models if model} == {models[0].optimizer.weights.tobytes()}
    (taken,) = lost.entries(VICTIM, "snapshot_taken")
    assert taken["round"] == 2
    rounds = [body["round"] for body in lost.entries(VICTIM, "closed")]
    assert rounds == [1, 2, 3, 4], "what the ledger had is not entered twice"
    assert [number for index, number in lost.trained if index == VICTIM] == [1, 2, 3]


def test_a_holder_gives_what_it_closed_sealed_and_takes_nothing_older(lost: World) -> None:
    lost.start(VICTIM)
    lost.finish()
    agent = lost.running[FRIEND].agent
    snapshots, model = agent._snapshots, agent._model
    snapshots._own = None
    bent = OptimizerState(model.optimizer.weights + 1e-12, *[np.empty(0)] * 3, model.optimizer.steps)
    assert snapshots._sealed(model) is not None
    with pytest.raises(CorruptState):
        snapshots._sealed(replace(model, optimizer=bent))

    (frame,) = lost.hub.snapshot(2)
    (message,) = lost.hub.board(2, Phase.SNAPSHOT_OFFERED).messages
    giver = lost.members.study.roster.index(message.signer)
    shown = bodies.open_signed(message, SnapshotOffer, lost.members.of(giver).keys.public_identity)
    assert shown.frame_sha256 == (hashlib.sha256(frame).digest(),)
    weights = model.optimizer.weights
    assert all(weights[start : start + 2].tobytes() not in frame for start in range(weights.size - 1))

    snapshots = lost.running[VICTIM].agent._snapshots
    stale = Board(True, Phase.SNAPSHOT_OFFERED, (message,))
    snapshots.client.wait = lambda *_: stale  # type: ignore[method-assign]
    with pytest.raises(ProtocolError) as caught:
        snapshots.take(3)
    assert caught.value.code == "snapshot.older"
