"""Rounds at the aggregator with real signatures and files: stops at every durable step, lies, deadlines, late silos."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aggregator.boards import round_boards
from aggregator.records import AT_ONCE, SECONDS_EACH
from aggregator.rounds import setup
from aggregator.storage import database, frame_files
from aggregator.storage.store import DATABASE
from privacy.channel.envelope import Signed
from privacy.channel.limits import BUSY
from privacy.errors import CollegiumError, IdentityError, ProtocolError, StorageError, Unreachable
from privacy.ledger.store import Ledger
from privacy.wire import bodies
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.messages import Abandon, Close, Reject, Sign, Survivors
from privacy.wire.requests import AwaitRequest, Phase
from privacy.wire.sets import key_request_digest, share_set_digest
from tests.aggregator.hub import DEADLINE, PATIENCE, Hub, MadeUpUpload, Members, context


def finish(hub: Hub, number: int, silos: tuple[int, ...] = (1, 2, 3)) -> None:
    """From published survivors to the round's end."""
    agree(hub, number, silos)
    for index in silos:
        hub.close(index, number)


def agree(hub: Hub, number: int = 1, silos: tuple[int, ...] = (1, 2, 3)) -> None:
    """From published survivors to a sum that silos can open."""
    for index in silos:
        hub.sign(index, number)
    for index in silos:
        hub.unmask(index, number)


def opened(hub: Hub, message: Signed, kind: type[bodies.BodyT]) -> bodies.BodyT:
    return bodies.open_signed(message, kind, hub.members.hub.keys.public_identity)


# ---- the whole way


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


# ---- stopped at any instant


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(point: int) -> Iterator[list[int]]:
    """Die just before the `point`-th durable step, which is also just after the one before, and at every later one."""
    steps = [0]

    def dying(step: Callable[..., object]) -> Callable[..., object]:
        def instead(*arguments: object, **named: object) -> object:
            steps[0] += 1
            if steps[0] < point:
                return step(*arguments, **named)
            raise Killed

        return instead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_files, "write", dying(frame_files.write))
        patch.setattr(database, "commit", dying(database.commit))
        patch.setattr(Ledger, "append", dying(Ledger.append))
        yield steps


class Silos:
    """Three stubborn silos: they send again what they are not sure of, and remember what they signed."""

    def __init__(self, hub: Hub, rounds: int) -> None:
        self.hub, self.rounds = hub, rounds
        self.signed: dict[int, bytes] = {}
        self.frames: dict[int, tuple[bytes, ...]] = {}
        self.sets: dict[int, tuple[tuple[Signed, ...], ...]] = {}
        self.unmasks: dict[int, tuple[Signed, ...]] = {}

    def run(self) -> None:
        for number in range(1, self.rounds + 1):
            for step in (self.hub.advertise, self.hub.share):
                for index in (1, 2, 3):
                    self.insist(step, index, number)
            sets = tuple(self.hub.board(number, phase).messages for phase in (Phase.ADVERTISED, Phase.SHARED))
            assert self.sets.setdefault(number, sets) == sets, "a second set was frozen"
            for index in (1, 2, 3):
                self.insist(self.hub.upload, MadeUpUpload.random(self.hub, index, number))
            if not self.hub.board(number, Phase.SURVIVORS).reached:
                self.hub.work()
            digest = self.hub.survivors_hash(number)
            assert self.signed.setdefault(number, digest) == digest, "a second survivor list was shown"
            if self.hub.board(number, Phase.SURVIVORS).phase < Phase.CLOSED:
                frames = self.hub.sum(number)
                assert self.frames.setdefault(number, frames) == frames, "a second sum was shown"
            for index in (1, 2, 3):
                self.hub.sign(index, number)
            for index in (1, 2, 3):
                self.insist(self.hub.unmask, index, number)
            unmasks = self.hub.board(number, Phase.UNMASKED).messages
            assert self.unmasks.setdefault(number, unmasks) == unmasks, "a second unmask set was frozen"
            for index in (1, 2, 3):
                self.hub.close(index, number)

    def insist(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except ProtocolError as error:
            if error.code not in (
                "round.late",
                "round.not_open",
                "upload.late",
                "upload.repeated",
                "unmask.unexpected",
            ):
                raise


def steps_of_a_round(root: Path, members: Members) -> int:
    hub = Hub(root, members)
    with killed_at(10**6) as steps:
        Silos(hub, 1).run()
    return steps[0]


@pytest.mark.usefixtures("without_fsync")
def test_it_goes_on_after_a_stop_at_every_durable_step(tmp_path: Path, members: Members) -> None:
    total = steps_of_a_round(tmp_path / "whole", members)
    assert total > 20
    for point in range(1, total + 2):
        root = tmp_path / f"{point}"
        silos = Silos(Hub(root, members), 2)
        with pytest.raises(Killed), killed_at(point):
            silos.run()
        silos.hub.restart()
        silos.run()
        silos.hub.restart()
        assert silos.hub.kinds() == ["survivors", "closed"] * 2, point
        assert not silos.hub.stored("rounds/*/arriving-*")


def test_what_a_kill_left_half_written_is_gone_after_the_next_start(hub: Hub) -> None:
    hub.set_up()
    torn = [hub.root / "study/frames" / name for name in (f".{'0' * 64}.f81113861b5caf12", "0" * 64)]
    for path in torn:
        path.write_bytes(b"half a fra")
    hub.restart()
    assert not any(path.exists() for path in torn)
    hub.upload_all()


def test_answers_are_kept_over_a_stop_whatever_their_order(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    large.submit(1, Reject(context(1), 1, large.survivors_hash(1), "sum.refused"))
    for index in (2, 3, 4):
        large.sign(index)
    before = large.board(1, Phase.SIGNED)
    large.restart()
    assert large.board(1, Phase.SIGNED) == before
    assert [message.kind for message in before.messages] == ["sign"] * 3
    large.unmask(2)
    large.restart()
    large.unmask(3)
    large.now = PATIENCE
    large.work()
    assert large.board(1, Phase.UNMASKED).phase == Phase.ABANDONED


def test_a_false_late_signature_does_not_keep_it_from_starting_again(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    for index in (2, 3, 4):
        large.sign(index)
    with pytest.raises(ProtocolError):
        large.sign(1, survivors_hash=b"\5" * 32)
    large.restart()
    assert large.board(1, Phase.SIGNED).phase == Phase.SIGNED


def test_a_signature_cannot_be_replaced(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    digest = hub.survivors_hash(1)
    for index in (1, 2, 3):
        hub.sign(index)
    with pytest.raises(ProtocolError) as caught:
        hub.submit(1, Sign(context(9), 1, digest))
    assert caught.value.code == "survivors.answered"
    before = hub.board(1, Phase.SIGNED)
    hub.restart()
    assert hub.board(1, Phase.SIGNED) == before


def test_a_rejected_round_is_announced_even_if_it_stopped_just_before(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    hub.sign(1)
    hub.submit(2, Reject(context(1), 1, hub.survivors_hash(1), "sum.refused"))
    hub.restart()
    assert hub.board(1, Phase.SIGNED).reached is False
    hub.work()
    board = hub.board(1, Phase.SIGNED)
    assert board.phase == Phase.ABANDONED
    assert opened(hub, board.messages[0], Abandon) == Abandon(hub.members.study.digest(), 1, "rejected")
    assert hub.kinds() == ["survivors", "incident", "closed"]
    assert not list((hub.root / "study/frames").iterdir())
    hub.restart()
    assert hub.board(1, Phase.SIGNED) == board
    hub.upload_all(2)


def test_a_full_set_that_was_not_recorded_as_frozen_is_frozen_by_the_next_start(hub: Hub) -> None:
    def lost(name: str) -> None:
        with closing(sqlite3.connect(hub.root / "study" / DATABASE)) as other, other:
            assert other.execute("DELETE FROM frozen_set WHERE name = ?", (name,)).rowcount == 1
        hub.restart()
        assert hub.stored(f"rounds/000001/set-{name}")

    for index in hub.everyone:
        hub.advertise(index)
    lost("advertised")
    for index in hub.everyone:
        hub.share(index)
    lost("shared")
    hub.upload_all()
    hub.work()
    agree(hub)
    lost("unmasked")
    for index in hub.everyone:
        hub.close(index)
    assert hub.board(1, Phase.CLOSED).phase == Phase.CLOSED


def test_a_frozen_set_stays_what_it_was_over_a_stop(large: Hub) -> None:
    large.set_up(silos=(1, 2, 4))
    before = [large.board(1, phase) for phase in (Phase.ADVERTISED, Phase.SHARED)]
    large.restart()
    for step in (large.advertise, large.share):
        with pytest.raises(ProtocolError) as caught:
            step(3)
        assert caught.value.code == "round.late"
    assert [large.board(1, phase) for phase in (Phase.ADVERTISED, Phase.SHARED)] == before
    assert [message.signer for message in before[0].messages] == ["north", "south", "west"]


def test_a_partly_filled_set_goes_on_filling_after_a_stop(hub: Hub) -> None:
    for step, before, after in (
        (hub.advertise, Phase.KEYS_GRANTED, Phase.ADVERTISED),
        (hub.share, Phase.ADVERTISED, Phase.UPLOADING),
    ):
        for index in (1, 3):
            step(index)
        hub.restart()
        assert hub.coordinator.progress() == (1, before)
        step(2)
        assert hub.coordinator.progress() == (1, after)


# ---- deadlines


def test_too_few_uploads_at_the_deadline_abandon_the_round_and_open_the_next(hub: Hub) -> None:
    hub.upload_all(silos=(1, 2))
    late = MadeUpUpload.random(hub, 3)
    hub.now = DEADLINE - 0.1
    hub.work()
    assert hub.board(1, Phase.SURVIVORS).reached is False
    hub.now = DEADLINE
    hub.work()
    board = hub.board(1, Phase.SURVIVORS)
    assert opened(hub, board.messages[0], Abandon).reason == "too_few_uploads"
    with pytest.raises(ProtocolError) as caught:
        hub.upload(late)
    assert caught.value.code == "round.not_open"
    hub.upload_all(2)


def ended(hub: Hub, number: int = 1) -> str:
    """Why the round was abandoned, as everybody is told; the next one is open."""
    board = hub.board(number, Phase.CLOSED)
    assert board.phase == Phase.ABANDONED
    assert hub.coordinator.progress() == (number + 1, Phase.KEYS_GRANTED)
    assert hub.kinds()[-1] == "closed"
    assert hub.ledger.entries[-1].body["outcome"] == "abandoned"
    return opened(hub, board.messages[0], Abandon).reason


def test_a_round_that_nobody_can_join_ends_once_silos_wait_for_it(hub: Hub) -> None:
    hub.now = 10 * PATIENCE
    hub.board(1, Phase.ADVERTISED)
    hub.now = 20 * PATIENCE
    hub.work()
    await_round(hub)
    hub.now += PATIENCE
    hub.work()
    assert ended(hub) == "too_few_advertised"


def await_round(hub: Hub, *silos: int, number: int = 1) -> None:
    """Silos, all of them unless named, wait for the others' keys."""
    for index in silos or hub.everyone:
        assert hub.board(number, Phase.ADVERTISED, milliseconds=1, index=index).reached is False


@pytest.mark.parametrize("looks", [0, 3])
def test_a_study_begins_when_enough_silos_are_there_however_long_that_takes(large: Hub, looks: int) -> None:
    """Whether the aggregator woke in between or not."""
    threshold = large.members.study.roster.threshold
    for index in range(1, threshold):
        large.advertise(index)
        for _ in range(looks):
            large.now += 10 * PATIENCE
            large.work()
        large.now += 0.9 * PATIENCE
    assert large.coordinator.progress() == (1, Phase.KEYS_GRANTED)
    large.advertise(threshold)
    large.now += PATIENCE - 1
    large.work()
    assert not large.board(1, Phase.ADVERTISED).reached, "the others have the whole patience from here"
    large.now += 1
    large.work()
    assert len(large.board(1, Phase.ADVERTISED).messages) == threshold < len(large.members.silos)


def test_a_silo_that_only_waits_counts_as_there(large: Hub) -> None:
    await_round(large)
    large.advertise(1)
    large.now += PATIENCE
    large.work()
    assert ended(large) == "too_few_advertised"


def test_a_round_whose_uploads_were_all_lost_ends(hub: Hub) -> None:
    hub.set_up()
    hub.now = DEADLINE
    hub.work()
    assert ended(hub) == "too_few_uploads"


@pytest.mark.parametrize("present", [(1,), (1, 4)])
def test_too_few_keys_or_shares_abandon_the_round(large: Hub, present: tuple[int, ...]) -> None:
    for index in present:
        large.advertise(index)
    await_round(large)
    large.now += PATIENCE
    large.work()
    assert ended(large, 1) == "too_few_advertised"
    for index in large.everyone:
        large.advertise(index, 2)
    for index in present:
        large.share(index, 2)
    large.now += PATIENCE
    large.work()
    assert ended(large, 2) == "too_few_shared"


def test_each_step_may_lose_a_silo_as_long_as_t_are_left(large: Hub) -> None:
    """Of four silos one is missing in each set, and another one in each: three are enough every time."""
    for index in large.everyone:
        large.advertise(index)
    for index in (1, 2, 3, 4):
        large.share(index)
    large.upload_all(silos=(2, 3, 4))
    large.now += DEADLINE
    large.work()
    agree(large, silos=(2, 3, 4))
    for index in (1, 2, 3):
        large.close(index)
    assert large.board(1, Phase.CLOSED).phase == Phase.CLOSED


def test_a_survivor_that_is_gone_before_unmasking_costs_only_patience(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    agree(large, silos=(1, 2, 4))
    large.work()
    assert large.board(1, Phase.UNMASKED).reached is False
    large.now = PATIENCE
    large.work()
    assert [message.signer for message in large.board(1, Phase.UNMASKED).messages] == ["north", "south", "west"]
    with pytest.raises(ProtocolError) as caught:
        large.unmask(3)
    assert caught.value.code == "unmask.unexpected"
    for index in large.everyone:
        large.close(index)
    assert large.kinds() == ["survivors", "closed"]


def test_too_few_revealed_shares_abandon_the_round(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    for index in large.everyone:
        large.sign(index)
    for index in (1, 3):
        large.unmask(index)
    large.now = PATIENCE
    large.work()
    assert ended(large) == "too_few_unmasked"
    with pytest.raises(ProtocolError):
        large.unmask(2)


@pytest.mark.parametrize("stops", ["never", "between answers", "before it is announced", "after"])
def test_a_round_that_t_silos_cannot_open_ends_with_their_word_for_it(large: Hub, stops: str) -> None:
    large.upload_all(silos=(1, 2, 3, 4))
    large.work()
    agree(large, silos=(1, 2, 3, 4))
    large.close(2)
    for index in (1, 3):
        large.cannot_open(index)
    large.work()
    assert not large.board(1, Phase.CLOSED).reached
    if stops == "between answers":
        large.restart()
    large.cannot_open(4)
    if stops == "before it is announced":
        large.restart()
    large.work()
    if stops == "after":
        large.restart()
    board = large.board(1, Phase.CLOSED)
    assert board.phase == Phase.ABANDONED
    key = large.members.hub.keys.public_identity
    assert bodies.open_signed(board.messages[0], Abandon, key).reason == "unopenable"
    assert [message.signer for message in board.messages[1:]] == ["north", "east", "west"]
    assert large.board(2, Phase.ADVERTISED).phase == Phase.KEYS_GRANTED
    with pytest.raises(ProtocolError, match="opened"):
        large.close(3)


def test_a_round_that_too_few_sign_ends(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    hub.sign(1)
    hub.sign(2)
    hub.now = PATIENCE
    hub.work()
    assert opened(hub, hub.board(1, Phase.SIGNED).messages[0], Abandon).reason == "too_few_signatures"
    with pytest.raises(ProtocolError):
        hub.submit(3, Sign(context(1), 1, b"\1" * 32))


def test_a_late_silo_is_left_out_of_the_frozen_set(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 4))
    late = MadeUpUpload.random(large, 3)
    large.now = DEADLINE
    large.work()
    with pytest.raises(ProtocolError) as caught:
        large.upload(late)
    assert caught.value.code == "upload.late"
    survivors = opened(large, large.board(1, Phase.SURVIVORS).messages[0], Survivors)
    assert [index for index, _ in survivors.members] == [1, 2, 4]


# ---- answers that do not fit


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


# ---- keys


def test_key_requests_and_grants_are_kept_and_shown(hub: Hub) -> None:
    digest = hub.members.study.digest()
    for index in (2, 3):
        hub.submit(index, KeyRequest(digest, 1, index, bytes([index]) * 1216))
    hub.restart()
    assert [message.signer for message in hub.board(0, Phase.KEYS_REQUESTED).messages] == ["south", "east"]
    hub.submit(1, granted(hub, 2))
    assert hub.board(0, Phase.KEYS_GRANTED, index=2).reached, "it does not wait for the others'"
    assert not hub.board(0, Phase.KEYS_GRANTED, index=3).reached
    hub.submit(1, granted(hub, 3))
    before = hub.board(0, Phase.KEYS_GRANTED, index=3)
    hub.restart()
    assert hub.board(0, Phase.KEYS_GRANTED, index=3) == before
    assert len(before.messages) == 1
    assert not hub.board(0, Phase.KEYS_REQUESTED).messages
    assert hub.kinds() == ["key_material"] * 4


def granted(hub: Hub, receiver: int, giver: int = 1) -> KeyGrant:
    """A grant for the request that stands, of nothing."""
    announcement = hub.members.seal(1, KeyAnnounce(hub.members.study.digest(), 1, b"\1" * 32, b"\2" * 32))
    asked = hub.board(0, Phase.KEYS_REQUESTED).messages
    (request,) = (message for message in asked if message.signer == hub.members.of(receiver).member.name)
    return KeyGrant(announcement, giver, receiver, key_request_digest(request.body), b"sealed by %d" % giver)


def test_the_first_of_several_holders_that_grant_counts(hub: Hub) -> None:
    hub.submit(3, KeyRequest(hub.members.study.digest(), 1, 3, bytes(1216)))
    first, second = granted(hub, 3, 2), granted(hub, 3, 1)
    hub.submit(2, first)
    hub.submit(1, second)
    (shown,) = hub.board(0, Phase.KEYS_GRANTED, index=3).messages
    assert shown.signer == hub.members.of(2).member.name
    hub.restart()
    assert hub.board(0, Phase.KEYS_GRANTED, index=3).messages == (shown,)


def test_a_new_request_is_open_again_also_after_a_restart(hub: Hub) -> None:
    digest = hub.members.study.digest()
    hub.submit(3, KeyRequest(digest, 1, 3, bytes(1216)))
    stale = granted(hub, 3)
    hub.submit(1, stale)
    hub.submit(3, KeyRequest(digest, 1, 3, b"\1" * 1216))
    for _ in range(2):
        assert not hub.board(0, Phase.KEYS_GRANTED, index=3).reached
        assert hub.board(0, Phase.KEYS_REQUESTED).reached
        hub.restart()
    with pytest.raises(ProtocolError) as caught:
        hub.submit(1, stale)
    assert caught.value.code == "key.foreign_grant"


def test_who_is_attentive_hears_of_a_silo_that_waits_for_its_key(hub: Hub) -> None:
    assert not hub.board(1, Phase.ADVERTISED, index=1, attentive=True).wanted
    hub.submit(3, KeyRequest(hub.members.study.digest(), 1, 3, bytes(1216)))
    assert hub.board(1, Phase.ADVERTISED, 20_000, index=1, attentive=True).wanted
    assert not hub.board(1, Phase.ADVERTISED, index=1).wanted
    hub.submit(1, granted(hub, 3))
    assert not hub.board(1, Phase.ADVERTISED, index=1, attentive=True).wanted


def test_keys_for_others_are_refused(hub: Hub) -> None:
    digest = hub.members.study.digest()
    announcement = hub.members.seal(1, KeyAnnounce(digest, 1, b"\1" * 32, b"\2" * 32))
    for index, body, code in (
        (2, KeyRequest(digest, 1, 3, b"\1" * 1216), "key.foreign_request"),
        (2, KeyRequest(b"\1" * 32, 1, 2, b"\1" * 1216), "key.foreign_request"),
        (2, KeyGrant(announcement, 1, 3, b"\3" * 32, b"x"), "key.foreign_grant"),
        (1, KeyGrant(announcement, 1, 2, b"\3" * 32, b"x"), "key.foreign_grant"),
    ):
        with pytest.raises(ProtocolError) as caught:
            hub.submit(index, body)
        assert caught.value.code == code


# ---- what one silo causes to be written


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


# ---- the disk


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
