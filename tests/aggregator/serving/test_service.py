"""What the service gives: sums once they are published and frames for the audit; and which studies it serves."""

from dataclasses import replace

import numpy as np
import pytest

from aggregator.serving.service import METHODS
from privacy.channel.authorisation import check_complete
from privacy.errors import ConfigError, ProtocolError, StudyError
from privacy.he import frames
from privacy.study import Encryption
from privacy.wire import convert
from privacy.wire.requests import Phase
from tests.aggregator.hub import DEADLINE, Hub


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """In the middle of a round: uploads are taken."""
    hub.set_up()
    return hub


def test_every_method_has_its_roles() -> None:
    check_complete(METHODS, [convert.SERVICE])


def test_three_uploads_are_added_word_by_word(hub: Hub) -> None:
    uploads = hub.upload_all()
    hub.work()
    words = [frames.decode(upload.frames[0], 1, hub.params) for upload in uploads]
    wanted = sum(word.astype(object) for word in words) % hub.params.primes[0]
    (frame,) = hub.sum(1)
    np.testing.assert_array_equal(frames.decode(frame, 1, hub.params), wanted.astype(np.uint64))


def test_a_study_with_larger_uploads_than_this_machine_takes_is_not_served(hub: Hub) -> None:
    needed = hub.params.upload_bytes(hub.members.study.upload_length)
    hub.max_upload_bytes = needed
    hub.restart()
    hub.max_upload_bytes = needed - 1
    with pytest.raises(ConfigError, match="raise max_upload_bytes") as caught:
        hub.restart()
    assert caught.value.code == "config.max_upload_bytes"


def test_a_study_that_does_not_say_how_long_uploads_are_is_not_served(hub: Hub) -> None:
    study = hub.members.study.model_copy(update={"encryption": Encryption()})
    with pytest.raises(StudyError) as caught:
        Hub(hub.root / "other", replace(hub.members, study=study))
    assert caught.value.code == "study.no_length"


def test_a_frame_of_an_upload_is_served_for_the_audit_and_no_other(large: Hub) -> None:
    uploads = large.upload_all(silos=(1, 2, 4))
    large.now += DEADLINE
    large.work()
    for upload in uploads:
        assert large.upload_frame(1, upload.header.silo_index, 0, index=3) == upload.frames[0]
    for silo, frame in ((3, 0), (1, 1), (1, 9), (64, 0)):
        with pytest.raises(ProtocolError) as caught:
            large.upload_frame(1, silo, frame)
        assert caught.value.code == "sum.no_frame"


def test_a_sum_is_served_only_once_it_is_published(hub: Hub) -> None:
    uploads = hub.upload_all()
    with pytest.raises(ProtocolError) as caught:
        hub.sum(1)
    assert caught.value.code == "sum.not_published"
    with pytest.raises(ProtocolError) as caught:
        hub.upload_frame(1, 2, 0)
    assert caught.value.code == "sum.not_published"
    hub.work()
    assert len(hub.sum(1)) == len(uploads[0].frames)
    board = hub.board(1, Phase.SURVIVORS)
    assert board.seeds == tuple(upload.seeds for upload in uploads)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x0a\x02ab", b"garbage" * 100])
def test_garbage_is_a_protocol_error(hub: Hub, data: bytes) -> None:
    for unary in (hub._service._submit, hub._service._begin_upload, hub._service._download_upload_frame):
        with pytest.raises(ProtocolError):
            unary(data, hub._caller(1))
    for streamed in (hub._service._await, hub._service._download):
        with pytest.raises(ProtocolError):
            list(streamed(data, hub._caller(1)))
    with pytest.raises(ProtocolError):
        hub.stream(1, [data])
