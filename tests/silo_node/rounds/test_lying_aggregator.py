"""An aggregator that lies about a round is refused before anything is opened, and the study halts (promise P3).

The aggregator here has its own real key and may sign what it likes; one silo is shown something else than the others.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import IdentityError, ProtocolError
from privacy.he.keyholder import KeyHolder
from privacy.wire import bodies
from privacy.wire.messages import Abandon, Sign, Survivors, UploadHeader
from privacy.wire.requests import Board, Phase
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.stored_upload import StoredUpload
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World

VICTIM = 2


class LyingLine(Line):
    """Changes what one silo sees."""

    board_lie: Callable[[World, Board], Board] | None = None
    frames_lie: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] | None = None
    audit_lie: Callable[[bytes], bytes] | None = None
    lies_at = Phase.SURVIVORS

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        board = super().wait(round_number, phase)
        if self.board_lie is None or phase != self.lies_at or round_number < 1:
            return board
        return self.board_lie(self.world, board)

    def sum_frames(self, round_number: int, folder: Path, count: int) -> None:
        super().sum_frames(round_number, folder, count)
        if self.frames_lie is None:
            return
        stored = sorted(folder.iterdir())
        frames = self.frames_lie(tuple(path.read_bytes() for path in stored))
        for path in stored:
            path.unlink()
        for index, frame in enumerate(frames):
            (folder / f"frame-{index}").write_bytes(frame)

    def upload_frame(self, round_number: int, silo_index: int, frame: int) -> bytes:
        data = super().upload_frame(round_number, silo_index, frame)
        return self.audit_lie(data) if self.audit_lie else data


def relist(world: World, board: Board, **changes: object) -> Board:
    """The board with another survivor list, signed by the aggregator itself."""
    hub = world.members.hub
    shown = bodies.open_signed(board.messages[0], Survivors, hub.keys.public_identity)
    altered = bodies.seal(replace(shown, **changes), hub.member.name, hub.keys.identity)  # type: ignore[arg-type]
    return replace(board, messages=(altered, *board.messages[1:]))


def members_of(world: World, board: Board) -> tuple[tuple[int, bytes], ...]:
    return bodies.open_signed(board.messages[0], Survivors, world.members.hub.keys.public_identity).members


def omitted(world: World, board: Board) -> Board:
    listed = relist(world, board, members=tuple(m for m in members_of(world, board) if m[0] != VICTIM))
    messages = tuple(m for m in listed.messages if m.kind != "upload-header" or m.signer != "south")
    return replace(listed, messages=messages, seeds=(board.seeds[0], *board.seeds[2:]))


def other_header(world: World, board: Board) -> Board:
    changed = tuple((index, b"\1" * 32 if index == 3 else digest) for index, digest in members_of(world, board))
    return relist(world, board, members=changed)


def by_a_silo(world: World, board: Board) -> Board:
    silo = world.members.of(3)
    body = bodies.open_signed(board.messages[0], Survivors, world.members.hub.keys.public_identity)
    return replace(board, messages=(bodies.seal(body, "hub", silo.keys.identity), *board.messages[1:]))


def own_header_replayed(world: World, board: Board) -> Board:
    """Another header that this silo really signed, for the same round: two uploads under one context."""
    own = next(m for m in board.messages if m.signer == "south")
    header = bodies.open_signed(own, UploadHeader, world.members.of(VICTIM).keys.public_identity)
    other = world.members.seal(VICTIM, replace(header, seeds_sha256=header.seeds_sha256[::-1]))
    return replace(board, messages=tuple(other if m is own else m for m in board.messages))


BOARD_LIES: dict[str, Callable[[World, Board], Board]] = {
    "no message at all": lambda world, board: replace(board, messages=(), seeds=()),
    "our upload is left out": omitted,
    "a changed header hash": other_header,
    "another sum is announced": lambda world, board: relist(world, board, sum_frame_sha256=(b"\1" * 32,)),
    "another shape of the sum": lambda world, board: relist(world, board, sum_frame_bytes=(24_570,)),
    "another context": lambda world, board: relist(world, board, ctx=b"\3" * 32),
    "another round": lambda world, board: relist(world, board, round_number=7),
    "a share set of nobody": lambda world, board: relist(world, board, share_set=b"\3" * 32),
    "the list is signed by a silo": by_a_silo,
    "a header is missing": lambda world, board: replace(board, messages=board.messages[:-1]),
    "headers are exchanged": lambda world, board: replace(
        board, messages=(board.messages[0], board.messages[2], board.messages[1], board.messages[3])
    ),
    "our own header is another": own_header_replayed,
    "seeds are exchanged": lambda world, board: replace(board, seeds=board.seeds[::-1]),
    "seeds are missing": lambda world, board: replace(board, seeds=board.seeds[:2]),
    "seeds are altered": lambda world, board: replace(board, seeds=(b"\1" * 64, *board.seeds[1:])),
    "a signature is altered": lambda world, board: replace(
        board, messages=(replace(board.messages[0], signature=bytes(64)), *board.messages[1:])
    ),
    "the list is a header": lambda world, board: replace(board, messages=board.messages[1:]),
}
FRAME_LIES: dict[str, Callable[[tuple[bytes, ...]], tuple[bytes, ...]]] = {
    "a flipped bit": lambda frames: (frames[0][:99] + bytes([frames[0][99] ^ 1]) + frames[0][100:],),
    "a frame is missing": lambda frames: (),
    "a frame is cut": lambda frames: (frames[0][:-1],),
    "all zero": lambda frames: (bytes(len(frames[0])),),
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[KeyHolder]:
    """Every keyholder that was asked to open something."""
    reached: list[KeyHolder] = []
    real = KeyHolder.open_words

    def watched(holder: KeyHolder, *arguments: object) -> object:
        reached.append(holder)
        return real(holder, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(KeyHolder, "open_words", watched)
    return reached


def halted(world: World, line: LyingLine) -> str:
    """The code with which the victim ends; it must have recorded an incident."""
    for index in range(1, len(world.members.silos) + 1):
        world.start(index, line if index == VICTIM else None)
    world.running[VICTIM].thread.join(20)
    error = world.running[VICTIM].error
    assert isinstance(error, ProtocolError), error
    incidents = [body["code"] for body in world.entries(VICTIM, "incident")]
    assert error.code in incidents
    return error.code


def was_rejected(world: World) -> bool:
    return any(entry.kind == "incident" and entry.body["code"] == "sum.refused" for entry in world.hub.ledger.entries)


@pytest.mark.parametrize("lie", BOARD_LIES)
def test_an_altered_list_is_refused_and_nothing_is_opened(world: World, opened: list[KeyHolder], lie: str) -> None:
    line = LyingLine(world, VICTIM)
    line.board_lie = BOARD_LIES[lie]
    assert halted(world, line) == "sum.refused"
    assert opened == []
    assert not world.entries(VICTIM, "survivors_signed")


@pytest.mark.parametrize("lie", FRAME_LIES)
def test_an_altered_sum_is_refused_rejected_and_never_opened(world: World, opened: list[KeyHolder], lie: str) -> None:
    line = LyingLine(world, VICTIM)
    line.frames_lie = FRAME_LIES[lie]
    assert halted(world, line) == "sum.refused"
    assert opened == []
    assert not world.entries(VICTIM, "survivors_signed")
    assert was_rejected(world)


def added_to(frame: bytes) -> bytes:
    """A frame of a sum with one more in its first word: what an aggregator that signs anew can always announce."""
    first = int.from_bytes(frame[:6], "little")
    return ((first & ~0xFF) | ((first + 1) & 0xFF)).to_bytes(6, "little") + frame[6:]


def test_a_sum_that_was_altered_and_signed_anew_is_found_by_the_mac(world: World, opened: list[KeyHolder]) -> None:
    line = LyingLine(world, VICTIM)
    line.frames_lie = lambda frames: tuple(map(added_to, frames))

    def announced(world: World, board: Board) -> Board:
        digests = tuple(hashlib.sha256(added_to(frame)).digest() for frame in world.hub.sum(1))
        return relist(world, board, sum_frame_sha256=digests)

    line.board_lie = announced
    assert halted(world, line) == "sum.refused"
    assert opened == []
    assert was_rejected(world) is False, "the list it refuses is not the one that the aggregator published"


def test_audited_frames_that_are_not_the_signed_ones_are_refused(world: World, opened: list[KeyHolder]) -> None:
    line = LyingLine(world, VICTIM)
    line.audit_lie = added_to
    assert halted(world, line) == "sum.refused"
    assert opened == []
    assert not world.entries(VICTIM, "survivors_signed")
    assert was_rejected(world)


def test_an_upload_left_out_of_a_valid_sum_is_an_incident_and_the_silo_goes_on(large: World) -> None:
    class Late(Line):
        def upload(self, upload: StoredUpload) -> int:
            raise ProtocolError("too late", code="upload.late")

    for index in (1, 2, 3, 4):
        large.start(index, Late(large, index) if index == VICTIM else None)
    large.finish()
    assert {body["code"] for body in large.entries(VICTIM, "incident")} == {"round.omitted"}
    assert [one.error for one in large.running.values()] == [None] * 4
    assert len({one.result.chain for one in large.running.values() if isinstance(one.result, GlobalModel)}) == 1
    assert not large.entries(VICTIM, "survivors_signed")


def few_signs(world: World, board: Board) -> Board:
    signs = [message for message in board.messages if message.kind == "sign"]
    return replace(board, messages=tuple(m for m in board.messages if m is not signs[0]))


def repeated_signs(world: World, board: Board) -> Board:
    signs = [message for message in board.messages if message.kind == "sign"]
    return replace(board, messages=(*(m for m in board.messages if m.kind != "sign"), *([signs[0]] * 3)))


def signs_of_another_list(world: World, board: Board) -> Board:
    own = [world.members.seal(index, Sign(b"\1" * 32, 1, b"\2" * 32)) for index in (1, 2, 3)]
    return replace(board, messages=tuple(m for m in board.messages if m.kind != "sign") + tuple(own))


def forged_sign(world: World, board: Board) -> Board:
    signs = [message for message in board.messages if message.kind == "sign"]
    forged = replace(signs[0], signature=bytes(64))
    return replace(board, messages=tuple(forged if m is signs[0] else m for m in board.messages))


@pytest.mark.parametrize("lie", [few_signs, repeated_signs, signs_of_another_list, forged_sign])
def test_without_t_true_signatures_nothing_is_opened(
    world: World, opened: list[KeyHolder], lie: Callable[[World, Board], Board]
) -> None:
    line = LyingLine(world, VICTIM)
    line.board_lie, line.lies_at = lie, Phase.SIGNED
    assert halted(world, line) == "sum.refused"
    assert world.running[VICTIM].agent._keyholder not in opened


def test_a_second_list_for_a_round_is_refused_also_after_a_restart(world: World, opened: list[KeyHolder]) -> None:
    class Dies(Line):
        def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
            if phase == Phase.SIGNED:
                raise SystemExit
            return super().wait(round_number, phase)

    for index in (1, 2, 3):
        world.start(index, Dies(world, index) if index == VICTIM else None)
    world.running[VICTIM].thread.join(20)
    (first,) = world.entries(VICTIM, "survivors_signed")
    world.running[VICTIM].agent.ledger.close()

    def another(world: World, board: Board) -> Board:
        return relist(world, board, sum_frame_sha256=(hashlib.sha256(b"another sum").digest(),))

    line = LyingLine(world, VICTIM)
    line.board_lie = another
    line.frames_lie = lambda frames: (b"another sum",)
    one = world.start(VICTIM, line)
    one.thread.join(20)
    assert isinstance(one.error, ProtocolError)
    assert one.error.code == "sum.refused"
    assert one.agent._keyholder not in opened
    assert world.entries(VICTIM, "survivors_signed") == [first]


ABANDONMENTS: dict[str, Callable[[Members], tuple[Signed, ...]]] = {
    "nothing": lambda members: (),
    "of another round": lambda members: (seal_abandon(members, number=2),),
    "of another study": lambda members: (seal_abandon(members, study_digest=b"\1" * 32),),
    "by a silo": lambda members: (members.seal(1, Abandon(members.study.digest(), 1, "because")),),
}


def seal_abandon(members: Members, number: int = 1, study_digest: bytes = b"") -> Signed:
    body = Abandon(study_digest or members.study.digest(), number, "because")
    return bodies.seal(body, members.hub.member.name, members.hub.keys.identity)


@pytest.mark.parametrize("lie", ABANDONMENTS)
def test_an_abandonment_that_is_not_the_aggregators_for_this_round_is_refused(world: World, lie: str) -> None:
    class Abandoning(Line):
        def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
            if phase in (Phase.SURVIVORS, Phase.ABANDONED):
                return Board(True, Phase.ABANDONED, ABANDONMENTS[lie](world.members))
            return super().wait(round_number, phase)

    for index in (1, 2, 3):
        world.start(index, Abandoning(world, index) if index == VICTIM else None)
    world.running[VICTIM].thread.join(20)
    assert isinstance(world.running[VICTIM].error, ProtocolError | IdentityError)
    assert not [body for body in world.entries(VICTIM, "closed") if body["outcome"] == "abandoned"]
