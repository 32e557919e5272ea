"""Three of four silos and an aggregator that is stopped at every durable step: every round ends with the exact sum.

The clock is the test's, so that each patience and deadline passes at once; storage, signatures and recovery are real.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.wire.requests import Phase
from tests.aggregator.hub import DEADLINE, PATIENCE, Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members
from tests.aggregator.rounds.stopping import Killed, killed_at

LOST, STAYING = 4, (1, 2, 3)
STEPS = ("advertise", "share", "upload", "sign", "unmask", "close")
TOO_LATE = ("round.late", "round.not_open", "upload.late", "upload.repeated", "unmask.unexpected")
Frozen = dict[tuple[int, Phase], tuple[Signed, ...]]


class Course:
    """Stubborn silos, of which one is lost at a step and comes back with each round; what they saw never changes."""

    def __init__(self, hub: Hub, lost_at: str) -> None:
        self.hub, self.lost_at = hub, lost_at
        self.frozen: Frozen = {}
        self.sums: dict[int, tuple[bytes, ...]] = {}

    def run(self, number: int) -> None:
        self.step("advertise", number, self.hub.advertise, Phase.ADVERTISED, PATIENCE)
        self.step("share", number, self.hub.share, Phase.SHARED, PATIENCE)
        self.step("upload", number, self.upload, Phase.SURVIVORS, DEADLINE)
        self.check_sum(number)
        self.step("sign", number, self.hub.sign, Phase.SIGNED, PATIENCE)
        self.step("unmask", number, self.hub.unmask, Phase.UNMASKED, PATIENCE)
        self.step("close", number, self.hub.close, Phase.CLOSED, PATIENCE)

    def step(self, name: str, number: int, act: Callable[[int, int], None], after: Phase, patience: float) -> None:
        """All that are there act; if that is not enough, time passes and the aggregator wakes."""
        lost = STEPS.index(name) >= STEPS.index(self.lost_at)
        for index in STAYING if lost else (*STAYING, LOST):
            self.insist(act, index, number)
        if lost and name == self.lost_at == "upload":
            self.insist(self.tear, LOST, number)
        if not self.hub.board(number, after).reached:
            self.hub.now += patience
            self.hub.work()
        board = self.hub.board(number, after)
        assert board.reached, (name, board.phase)
        if after in (Phase.ADVERTISED, Phase.SHARED, Phase.SURVIVORS, Phase.UNMASKED):
            known = self.frozen.setdefault((number, after), board.messages)
            assert known == board.messages, f"a set was frozen twice: {after.name}"

    def insist(self, act: Callable[[int, int], None], index: int, number: int) -> None:
        try:
            act(index, number)
        except ProtocolError as error:
            if error.code not in TOO_LATE:
                raise

    def upload(self, index: int, number: int) -> None:
        self.hub.upload(MadeUpUpload.random(self.hub, index, number))

    def tear(self, index: int, number: int) -> None:
        upload = MadeUpUpload.random(self.hub, index, number)
        try:
            self.hub.stream(index, upload.parts(self.hub.members.seal(index, upload.header))[:2])
        except ProtocolError as error:
            if error.code != "upload.torn":
                raise

    def check_sum(self, number: int) -> None:
        """The sum is that of the listed uploads, word for word, and stays the same over every stop."""
        board = self.hub.board(number, Phase.SURVIVORS)
        if board.phase == Phase.CLOSED:
            return
        found = self.hub.sum(number)
        assert self.sums.setdefault(number, found) == found, "a second sum was shown"
        params = self.hub.params
        count = params.ciphertexts(self.hub.members.study.upload_length)
        listed = [self.hub.members.study.roster.index(header.signer) for header in board.messages[1:]]
        uploads = [MadeUpUpload.random(self.hub, index, number).frames[0] for index in listed]
        total = sum(frames.decode(upload, count, params).astype(object) for upload in uploads) % params.primes[0]
        np.testing.assert_array_equal(frames.decode(found[0], count, params), total.astype(np.uint64))


def durable_steps(root: Path, members: Members, lost_at: str) -> int:
    hub = Hub(root, members)
    with killed_at(10**6) as steps:
        Course(hub, lost_at).run(1)
    return steps[0]


SLOW = [pytest.param(step, marks=pytest.mark.slow) for step in ("advertise", "share", "sign", "unmask", "close")]


@pytest.mark.usefixtures("without_fsync")
@pytest.mark.parametrize("lost_at", ["upload", *SLOW])
def test_three_of_four_silos_go_on_after_a_stop_at_every_durable_step(
    tmp_path: Path, four: Members, lost_at: str
) -> None:
    total = durable_steps(tmp_path / "whole", four, lost_at)
    assert total > 30
    for point in range(1, total + 1):
        course, rounds = Course(Hub(tmp_path / f"{point}", four), lost_at), 2 if point % 6 == 0 else 1
        with pytest.raises(Killed), killed_at(point):
            course.run(1)
        course.hub.restart()
        for number in range(1, rounds + 1):
            course.run(number)
        course.hub.restart()
        assert course.hub.coordinator.progress() == (rounds + 1, Phase.KEYS_GRANTED)
        assert course.hub.kinds() == ["survivors", "closed"] * rounds, point
        assert not course.hub.stored("rounds/*/arriving-*"), point
        course.hub.store.close()
        course.hub.ledger.close()
