"""Rounds at the aggregator with real signatures and files: the whole way, lies, and what one silo can cause."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from aggregator.boards import round_boards
from aggregator.records import AT_ONCE, SECONDS_EACH
from aggregator.rounds import setup
from aggregator.storage import frame_files
from aggregator.storage.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.channel.limits import BUSY
from privacy.errors import CollegiumError, IdentityError, ProtocolError, StorageError, Unreachable
from privacy.wire.keys import KeyAnnounce, KeyRequest
from privacy.wire.messages import Abandon, Close, Reject, Sign, Survivors
from privacy.wire.requests import AwaitRequest, Phase
from privacy.wire.sets import share_set_digest
from tests.aggregator.hub import DEADLINE, PATIENCE, Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members, context
from tests.aggregator.rounds.steps import agree, finish, opened


def reject(hub: Hub, index: int) -> None:
    hub.submit(index, Reject(context(1), 1, hub.survivors_hash(1), "sum.refused"))


def test_two_rounds_from_uploads_to_close(hub: Hub) -> None:
    for number in (1, 2):
        hub.upload_all(number)
        assert hub.board(number, Phase.SURVIVORS).reached is False
        hub.work()
        survivors = opened(hub, hub.board(number, Phase.SURVIVORS).messages[0], Survivors)
        assert [index for index, _ in survivors.members] == [1, 2, 3]
        assert survivors.ctx == context(number)
        finish(hub, number)
        assert hub.board(number, Phase.CLOSED).phase == Phase.CLOSED
    assert hub.kinds() == ["survivors", "closed"] * 2
    assert hub.coordinator.progress() == (3, Phase.KEYS_GRANTED)


def test_the_frames_of_a_round_that_all_have_applied_are_erased(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    finish(hub, 1)
    assert not list((hub.root / "study/frames").iterdir())
    with pytest.raises(ProtocolError) as caught:
        hub.sum(1)
    assert caught.value.code == "sum.gone"


def test_a_silo_that_was_left_out_can_still_apply_the_sum_of_the_others(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3))
    large.now = DEADLINE
    large.work()
    finish(large, 1)
    assert large.board(1, Phase.SURVIVORS, index=4).phase == Phase.CLOSED
    large.restart()
    assert len(large.sum(1, index=4)) == 1
    for silo in (1, 2, 3):
        large.upload_frame(1, silo, 0, index=4)
    large.close(4)
    assert not list(large.root.rglob("frame-*"))


def test_a_study_that_this_aggregator_does_not_serve_is_unknown(hub: Hub, four: Members) -> None:
    other = Hub(hub.root / "other", four)
    hub.members, members = other.members, hub.members
    with pytest.raises(ProtocolError) as caught:
        hub.board(1, Phase.SURVIVORS)
    assert caught.value.code == "study.unknown"
    hub.members = members


def test_closes_that_differ_are_an_incident_and_stop_the_round(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    agree(hub)
    hub.close(1)
    with pytest.raises(ProtocolError) as caught:
        hub.close(2, chain=b"\6" * 32)
    assert caught.value.code == "close.differs"
    assert hub.ledger.entries[-1].body["code"] == "close.differs"
    hub.close(3)
    assert hub.coordinator.progress() == (1, Phase.UNMASKED)


def test_a_message_signed_by_another_is_refused(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    body = Sign(context(1), 1, hub.survivors_hash(1))
    with pytest.raises(ProtocolError) as caught:
        hub.submit(1, hub.members.seal(2, body))
    assert caught.value.code == "protocol.foreign_signer"
    forged = hub.members.seal(2, body)
    with pytest.raises(IdentityError):
        hub.submit(1, Signed(forged.kind, forged.body, hub.members.of(1).member.name, forged.signature))


def test_the_aggregators_own_kinds_are_not_taken_from_silos(hub: Hub) -> None:
    digest = hub.members.study.digest()
    for body in (Abandon(digest, 1, "because"), KeyAnnounce(digest, 1, b"\1" * 32, b"\2" * 32)):
        with pytest.raises(ProtocolError) as caught:
            hub.submit(1, body)
        assert caught.value.code == "protocol.unexpected_kind"


@pytest.mark.parametrize("number", [0, 2, 77])
def test_answers_for_a_round_that_does_not_exist_are_refused(hub: Hub, number: int) -> None:
    for body in (
        Sign(context(1), number, b"\1" * 32),
        Reject(context(1), number, b"\1" * 32, "sum.refused"),
        Close(context(1), number, *([b"\1" * 32] * 4), 1, b"\1" * 32),
    ):
        with pytest.raises(ProtocolError) as caught:
            hub.submit(1, body)
        assert caught.value.code == "round.not_open"


def test_an_answer_that_is_repeated_is_one_incident(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    refusal = Reject(context(1), 1, large.survivors_hash(1), "sum.mac")
    for _ in range(5):
        large.submit(4, refusal)
    assert large.kinds() == ["survivors", "incident"]
    agree(large, silos=(1, 2, 3))
    large.now += PATIENCE
    large.work()
    for _ in range(5):
        large.cannot_open(1)
    assert large.kinds() == ["survivors", "incident", "incident"]


def test_a_silo_that_asks_anew_again_and_again_fills_no_ledger(hub: Hub) -> None:
    """And keeps nobody else from asking; it may ask again later."""
    digest = hub.members.study.digest()

    def ask(silo: int, number: int) -> None:
        hub.submit(silo, KeyRequest(digest, 1, silo, number.to_bytes(2, "big") * 608))

    for number in range(AT_ONCE):
        ask(3, number)
    with pytest.raises(Unreachable) as caught:
        ask(3, AT_ONCE)
    assert caught.value.code == BUSY
    ask(3, AT_ONCE - 1)  # the one that stands, said again
    ask(2, 0)
    assert len(hub.kinds()) == AT_ONCE + 1
    hub.now += SECONDS_EACH
    ask(3, AT_ONCE)
    assert len(hub.kinds()) == AT_ONCE + 2


def test_what_64_silos_shared_is_hashed_once_a_round_and_never_while_others_wait(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 10 MB: a silo that asks again and again would keep the aggregator at it, and the others out."""
    hashed = []

    def digest(messages: Sequence[Signed]) -> bytes:
        hashed.append(len(messages))
        return share_set_digest(messages)

    monkeypatch.setattr(setup, "share_set_digest", digest)
    hub.set_up()
    uploads = [MadeUpUpload.random(hub, silo) for silo in (1, 2, 3)]
    for _ in range(3):
        for upload in uploads:
            hub.begin(upload.header.silo_index, upload.header)
    assert hashed == [3]

    def held(messages: Sequence[Signed]) -> bytes:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(hub.board, 1, Phase.SHARED).result(timeout=10).reached
        return b"h" * 32

    monkeypatch.setattr(round_boards, "held_digest", held)
    request = AwaitRequest(hub.members.study.digest(), 1, Phase.SHARED, 0, held=2, held_digest=b"h" * 32)
    board = hub.coordinator.wait("north", request, lambda: True)
    assert (board.first, [message.signer for message in board.messages]) == (2, ["east"])


def test_a_full_disk_refuses_the_upload_and_keeps_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk refused a write")

    hub.set_up()
    upload = MadeUpUpload.random(hub, 1)
    with monkeypatch.context() as patch:
        patch.setattr(frame_files, "write", full)
        with pytest.raises(CollegiumError) as caught:
            hub.upload(upload)
    assert caught.value.exit_code == StorageError.exit_code
    assert not hub.stored("rounds/*/frame-*")
    hub.upload(upload)


SET_UP = ("advertise", "share")
OPENED = (*SET_UP, "sign", "unmask")


@pytest.mark.parametrize(
    ("before", "step", "kind", "others"),
    [
        ((), Hub.advertise, "advertise", (1, 2)),
        (("advertise",), Hub.share, "shares", (1, 2)),
        (SET_UP, Hub.sign, "sign", (1, 2)),
        (SET_UP, reject, "reject", ()),
        ((*SET_UP, "sign"), Hub.unmask, "unmask", (1, 2)),
        (OPENED, Hub.close, "close", (1, 2)),
        (OPENED, Hub.cannot_open, "unopenable", (1, 2)),
    ],
    ids=["advertise", "shares", "sign", "reject", "unmask", "close", "unopenable"],
)
def test_a_message_that_the_disk_refuses_moves_no_round_and_counts_when_it_is_sent_again(
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[str, ...],
    step: Callable[[Hub, int], None],
    kind: str,
    others: tuple[int, ...],
) -> None:
    """Each is the last of its set, which it would freeze: nobody is shown a message that a killed process forgets."""

    def refuse(*_: object) -> None:
        raise StorageError("the disk refused a write")

    for name in before:
        for index in hub.everyone:
            getattr(hub, name)(index)
        if name == "share":
            hub.upload_all()
            hub.work()
    for index in others:
        step(hub, index)
    states = hub.coordinator._course.states
    rounds, state = len(states), states[1]
    with monkeypatch.context() as patch:
        patch.setattr(RoundStore, "put", refuse)
        with pytest.raises(StorageError):
            step(hub, 3)
    assert (len(states), states[1]) == (rounds, state)
    step(hub, 3)
    assert states[1] != state
    assert [index for index, _ in hub.store.round(1).all(kind)] == [*others, 3]
