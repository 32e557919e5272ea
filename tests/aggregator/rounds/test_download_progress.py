"""Silos that download a sum are waited for while frames of it move, by the real service; and no longer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.wire import convert
from privacy.wire.requests import Phase, SumRequest
from tests.aggregator.hub import DEADLINE, PATIENCE, Hub
from tests.aggregator.members import Members
from tests.aggregator.rounds.steps import ended
from tests.aggregator.serving.uploads.streams import LONG

FRAMES = 5


@pytest.fixture
def published(tmp_path: Path, members: Members) -> Hub:
    """A sum of five frames, which two of the three silos that are needed have signed."""
    hub = Hub(tmp_path, members.with_length(LONG))
    hub.upload_all()
    hub.work()
    for index in (1, 2):
        hub.sign(index)
    return hub


def frames(hub: Hub, index: int, first: int = 0) -> Iterator[bytes]:
    request = convert.encode_sum_request(SumRequest(hub.members.study.digest(), 1, first))
    return hub._service._download(request, hub._caller(index))


def wait(hub: Hub, seconds: float) -> Phase:
    hub.now += seconds
    hub.work()
    return hub.coordinator.progress()[1]


def test_a_sum_is_downloaded_for_longer_than_small_messages_may_take(published: Hub) -> None:
    """The line breaks once amid it; then come the audited frames, and the answer."""
    for first, count in ((0, 2), (2, FRAMES - 2)):
        stream = frames(published, 3, first)
        for _ in range(count):
            next(stream)
            assert wait(published, 10) == Phase.SURVIVORS
    assert published.now > 2 * PATIENCE
    published.upload_frame(1, 1, 0, index=3)
    assert wait(published, DEADLINE - published.now - 0.1) == Phase.SURVIVORS
    published.sign(3)
    for step in (published.unmask, published.close):
        for index in published.everyone:
            step(index)
    assert published.board(1, Phase.CLOSED).phase == Phase.CLOSED


def test_a_download_that_stands_still_ends_the_round_after_the_patience(published: Hub) -> None:
    stream = frames(published, 3)
    for _ in range(3):
        next(stream)
        assert wait(published, 9) == Phase.SURVIVORS
    assert wait(published, PATIENCE - 9 - 0.1) == Phase.SURVIVORS
    wait(published, 0.1)
    assert ended(published) == "too_few_signatures"


def test_frames_for_who_has_signed_keep_nobody_waiting(published: Hub) -> None:
    for _ in frames(published, 1):
        published.upload_frame(1, 1, 0, index=2)
        wait(published, PATIENCE / FRAMES)
    assert ended(published) == "too_few_signatures"


@pytest.mark.parametrize("how", ["sum", "audit"])
def test_a_silo_that_takes_frames_and_never_answers_holds_a_round_up_no_longer_than_an_upload_may(
    published: Hub, how: str
) -> None:
    """One frame again and again, as seldom as it may."""
    while published.now + PATIENCE <= DEADLINE:
        assert wait(published, PATIENCE - 1) == Phase.SURVIVORS
        if how == "sum":
            next(frames(published, 3))
        else:
            published.upload_frame(1, 1, 0, index=3)
    assert wait(published, DEADLINE - published.now - 0.1) == Phase.SURVIVORS
    wait(published, 0.1)
    assert ended(published) == "too_few_signatures"


def test_an_aggregator_that_is_stopped_amid_a_download_waits_anew(published: Hub) -> None:
    next(frames(published, 3))
    wait(published, PATIENCE - 1)
    published.restart()
    assert wait(published, PATIENCE - 1) == Phase.SURVIVORS
    next(frames(published, 3, 1))
    assert wait(published, PATIENCE - 1) == Phase.SURVIVORS
    wait(published, 1)
    assert ended(published) == "too_few_signatures"
