"""What an upload must be before it counts, and that nothing of a refused or torn one does."""

import numpy as np
import pytest

from aggregator.service import METHODS
from privacy.channel.authorisation import check_complete
from privacy.errors import CollegiumError, IdentityError, ProtocolError, StudyError
from privacy.he import frames
from privacy.wire import convert
from privacy.wire.messages import Phase
from tests.aggregator.hub import DEADLINE, Hub, MadeUpUpload, Members, context

LONG = 1_500_000
"""Values of an upload of several frames."""


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """In the middle of a round: uploads are taken."""
    hub.set_up()
    return hub


@pytest.fixture
def upload(hub: Hub) -> MadeUpUpload:
    return MadeUpUpload.random(hub, 1)


def refused(hub: Hub, upload: MadeUpUpload, sender: int | None = None) -> str:
    """The code under which an upload is refused; nothing of it may be left, and the right one must still pass."""
    with pytest.raises(CollegiumError) as caught:
        hub.upload(upload, sender)
    rounds = hub.root / "study" / "rounds"
    assert not [path for path in rounds.glob("*/*") if path.is_dir()]
    hub.upload(MadeUpUpload.random(hub, 1))
    return caught.value.code


def parts_of(hub: Hub, upload: MadeUpUpload) -> list[bytes]:
    return upload.parts(hub.members.seal(1, upload.header))


def test_every_method_has_its_roles() -> None:
    check_complete(METHODS, [convert.SERVICE])


def test_three_uploads_are_added_word_by_word(hub: Hub) -> None:
    uploads = hub.upload_all()
    hub.work()
    words = [frames.decode(upload.frames[0], 1, hub.params) for upload in uploads]
    wanted = sum(word.astype(object) for word in words) % hub.params.primes[0]
    (frame,) = hub.sum(1)
    np.testing.assert_array_equal(frames.decode(frame, 1, hub.params), wanted.astype(np.uint64))


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_torn_upload_never_counts(hub: Hub, cut: int) -> None:
    upload = MadeUpUpload.random(hub, 1, length=LONG)
    parts = parts_of(hub, upload)
    assert len(parts) >= 4
    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, parts[:cut])
    assert caught.value.code == ("protocol.malformed" if cut == 0 else "upload.torn")
    hub.restart()
    assert not list((hub.root / "study").glob("rounds/*/upload-*"))
    hub.stream(1, parts)
    assert len(list((hub.root / "study").glob("rounds/*/upload-1/frame-*"))) == len(upload.frames)


def test_a_connection_that_breaks_leaves_nothing(hub: Hub, upload: MadeUpUpload) -> None:
    def broken() -> object:
        yield from parts_of(hub, upload)[:2]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        hub.stream(1, broken())  # type: ignore[arg-type]
    assert not list((hub.root / "study").glob("rounds/*/*-1*/*"))


def test_a_silo_that_begins_again_while_its_first_stream_hangs_is_served(hub: Hub) -> None:
    """The retry's pieces never mix with those of the stream that it replaces."""
    upload = MadeUpUpload.random(hub, 1, length=LONG)
    parts = parts_of(hub, upload)

    def hanging() -> object:
        yield from parts[:-1]
        hub.stream(1, parts)
        yield parts[-1]

    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, hanging())  # type: ignore[arg-type]
    assert caught.value.code == "upload.repeated"
    assert len(list((hub.root / "study").glob("rounds/*/upload-1/frame-*"))) == len(upload.frames)


def test_of_two_streams_the_older_one_never_counts(hub: Hub) -> None:
    upload = MadeUpUpload.random(hub, 1, length=LONG)
    parts = parts_of(hub, upload)

    def newer() -> object:
        yield from parts[:2]
        with pytest.raises(ProtocolError) as caught:
            hub.stream(1, older_rest)
        assert caught.value.code == "upload.order"
        yield from parts[2:]

    older_rest = iter(parts[2:])
    hub.stream(1, newer())  # type: ignore[arg-type]

    def superseded() -> object:
        second = MadeUpUpload.random(hub, 2, length=LONG)
        mine = second.parts(hub.members.seal(2, second.header))
        yield from mine[:-1]
        with pytest.raises(ProtocolError):
            hub.stream(2, mine[:2])
        yield mine[-1]

    with pytest.raises(ProtocolError) as caught:
        hub.stream(2, superseded())  # type: ignore[arg-type]
    assert caught.value.code == "upload.superseded"


def test_a_frame_that_is_not_what_the_header_says_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    other = MadeUpUpload.random(hub, 2)
    assert refused(hub, upload.__class__(upload.header, other.frames, upload.seeds)) == "upload.digest"


def test_seeds_that_are_not_what_the_header_says_are_refused(hub: Hub, upload: MadeUpUpload) -> None:
    assert refused(hub, MadeUpUpload(upload.header, upload.frames, b"\0" * len(upload.seeds))) == "upload.digest"


@pytest.mark.parametrize("change", [-1, 1, 64])
def test_seeds_of_another_length_are_refused(hub: Hub, upload: MadeUpUpload, change: int) -> None:
    seeds = (upload.seeds + b"\0" * 64)[: len(upload.seeds) + change]
    assert refused(hub, MadeUpUpload.of(hub, 1, 1, upload.frames, seeds)) == "upload.seeds"


def test_a_word_outside_its_modulus_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    words = frames.decode(upload.frames[0], 1, hub.params)
    words[0, 0, 17] = hub.params.primes[0]
    made = (frames.encode(words, hub.params),)
    assert refused(hub, MadeUpUpload.of(hub, 1, 1, made, upload.seeds)) == "protocol.frame_range"


@pytest.mark.parametrize("size", [1, 24_575, 24_577])
def test_frames_that_are_no_whole_ciphertexts_are_refused_by_the_header(
    hub: Hub, upload: MadeUpUpload, size: int
) -> None:
    assert refused(hub, MadeUpUpload.of(hub, 1, 1, (b"\0" * size,), upload.seeds)) == "upload.shape"


def test_a_frame_longer_than_the_header_says_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    longer = MadeUpUpload(upload.header, (upload.frames[0] + b"\0",), upload.seeds)
    assert refused(hub, longer) == "upload.length"


def test_more_frames_than_the_header_says_are_refused(hub: Hub, upload: MadeUpUpload) -> None:
    assert refused(hub, MadeUpUpload(upload.header, upload.frames * 2, upload.seeds)) == "upload.order"


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (0, 0, 2), (0, 1, 1)])
def test_parts_in_another_order_are_refused(hub: Hub, upload: MadeUpUpload, order: tuple[int, ...]) -> None:
    parts = parts_of(hub, upload)
    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, [parts[position] for position in order])
    assert caught.value.code == "upload.order"


def test_an_upload_larger_than_the_limit_is_refused_before_a_frame_is_read(hub: Hub) -> None:
    hub.max_upload_bytes = 100_000
    hub.restart()
    upload = MadeUpUpload.random(hub, 1, length=LONG)

    def parts() -> object:
        yield parts_of(hub, upload)[0]
        raise AssertionError("the aggregator read on")

    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, parts())  # type: ignore[arg-type]
    assert caught.value.code == "upload.too_large"


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


def test_uploads_are_taken_only_of_silos_that_shared_and_after_they_did(large: Hub) -> None:
    upload = MadeUpUpload.random(large, 1)
    with pytest.raises(ProtocolError) as caught:
        large.upload(upload)
    assert caught.value.code == "upload.early"
    large.set_up(silos=(1, 2, 3))
    with pytest.raises(ProtocolError) as caught:
        large.upload(MadeUpUpload.random(large, 4))
    assert caught.value.code == "upload.not_member"


def test_a_silo_cannot_upload_for_another(hub: Hub) -> None:
    upload = MadeUpUpload.random(hub, 2)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(upload, sender=1)
    assert caught.value.code == "upload.foreign"
    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, upload.parts(hub.members.seal(2, upload.header)))
    assert caught.value.code == "protocol.foreign_signer"


def test_a_header_with_a_broken_signature_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    signed = hub.members.seal(2, upload.header)
    forged = signed.__class__(signed.kind, signed.body, hub.members.of(1).member.name, signed.signature)
    with pytest.raises(IdentityError):
        hub.stream(1, upload.parts(forged))


def test_a_repeat_is_refused_and_changes_nothing(hub: Hub, upload: MadeUpUpload) -> None:
    hub.upload(upload)
    before = (hub.root / "study/rounds/000001/upload-1/frame-0").read_bytes()
    with pytest.raises(ProtocolError) as caught:
        hub.upload(MadeUpUpload.random(hub, 1, seed=5))
    assert caught.value.code == "upload.repeated"
    assert (hub.root / "study/rounds/000001/upload-1/frame-0").read_bytes() == before


def test_another_context_or_shape_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    hub.upload(upload)
    other = MadeUpUpload.random(hub, 2)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(other.with_header(ctx=context(9)))
    assert caught.value.code == "round.split_view"
    with pytest.raises(ProtocolError) as caught:
        hub.upload(other.with_header(share_set=b"\3" * 32))
    assert caught.value.code == "round.split_view"
    with pytest.raises(ProtocolError) as caught:
        hub.upload(MadeUpUpload.random(hub, 2, length=10_000))
    assert caught.value.code == "upload.shape"


@pytest.mark.parametrize("number", [2, 3, 1_000_000])
def test_a_round_that_is_not_open_takes_nothing(hub: Hub, upload: MadeUpUpload, number: int) -> None:
    assert refused(hub, upload.with_header(round_number=number)) == "round.not_open"
    assert not (hub.root / "study" / "rounds" / f"{number:06d}").exists()


def test_a_stranger_is_refused(hub: Hub, upload: MadeUpUpload, four: Members) -> None:
    stranger = Hub(
        hub.root / "other",
        Members(
            hub.members.hub,
            hub.members.silos[:2] + four.silos[3:],
            hub.members.study,
            four.consortium,
            hub.members.statement,
        ),
    )
    with pytest.raises(StudyError):
        stranger.upload(MadeUpUpload.random(hub, 3))


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
    for unary in (hub._service._submit, hub._service._download_upload_frame):
        with pytest.raises(ProtocolError):
            unary(data, hub._caller(1))
    for streamed in (hub._service._await, hub._service._download):
        with pytest.raises(ProtocolError):
            list(streamed(data, hub._caller(1)))
    with pytest.raises(ProtocolError):
        hub.stream(1, [data])
