"""What an upload must be before it counts, and that nothing of a refused or torn one does."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aggregator.serving.service import METHODS
from privacy.channel.authorisation import check_complete
from privacy.errors import CollegiumError, ConfigError, IdentityError, ProtocolError, StudyError
from privacy.he import frames
from privacy.study import Encryption
from privacy.wire import convert
from privacy.wire.requests import Phase, Piece
from tests.aggregator.hub import DEADLINE, Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members, context

LONG = 1_500_000
"""Values of an upload of several frames."""


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """In the middle of a round: uploads are taken."""
    hub.set_up()
    return hub


@pytest.fixture
def long(tmp_path: Path, members: Members) -> Hub:
    """In the middle of a round whose uploads have five frames."""
    made = Hub(tmp_path / "long", members.with_length(LONG))
    made.set_up()
    return made


@pytest.fixture
def upload(hub: Hub) -> MadeUpUpload:
    return MadeUpUpload.random(hub, 1)


def refused(hub: Hub, upload: MadeUpUpload, sender: int | None = None) -> str:
    """The code under which an upload is refused by its header; nothing of it is left, and the right one passes."""
    with pytest.raises(CollegiumError) as caught:
        hub.upload(upload, sender)
    assert not hub.stored("rounds/*/*/*")
    hub.upload(MadeUpUpload.random(hub, 1))
    return caught.value.code


def spoilt(hub: Hub, upload: MadeUpUpload, stored: int) -> str:
    """The code under which pieces that are not what their header says are refused; the `stored` before them stay."""
    with pytest.raises(CollegiumError) as caught:
        hub.upload(upload)
    assert not hub.stored("rounds/*/upload-*")
    assert hub.begin(1, upload.header) == stored
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


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 5, 6])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_torn_upload_goes_on_at_its_first_missing_piece(long: Hub, cut: int, stopped: bool) -> None:
    """Also when the aggregator was stopped in between, once the last piece was there too."""
    upload = MadeUpUpload.random(long, 1)
    parts = parts_of(long, upload)
    assert len(parts) == 7
    if cut < 6:
        with pytest.raises(ProtocolError) as caught:
            long.stream(1, parts[:cut])
        assert caught.value.code == ("protocol.malformed" if cut == 0 else "upload.torn")
    else:
        with pytest.raises(ConnectionResetError):
            long.stream(1, broken_off(parts))
    if stopped:
        long.restart()
    assert not long.stored("rounds/*/upload-*")
    stored = max(0, cut - 1) if cut < 6 else 6
    assert long.begin(1, upload.header) == stored
    long.stream(1, [parts[0], *parts[1 + stored :]])
    assert len(long.stored("rounds/*/upload-1/frame-*")) == len(upload.frames)
    assert not long.stored("rounds/*/arriving-*")
    with pytest.raises(ProtocolError) as caught:
        long.begin(1, upload.header)
    assert caught.value.code == "upload.repeated"


def broken_off(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from parts
    raise ConnectionResetError


def test_the_first_header_of_a_silo_is_final_over_a_stop(long: Hub) -> None:
    first, second = (MadeUpUpload.random(long, 1, seed=seed) for seed in (1, 2))
    with pytest.raises(ConnectionResetError):
        long.stream(1, broken_off(parts_of(long, first)[:3]))
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            long.upload(second)
        assert caught.value.code == "upload.other_header"
        assert long.begin(1, first.header) == 2
        long.restart()
    long.upload(first)


def test_pieces_mix_with_those_of_no_other_stream(long: Hub) -> None:
    """A retry is served while the first stream hangs; what the hung one still brings changes nothing."""
    parts = parts_of(long, MadeUpUpload.random(long, 1))

    def hanging() -> Iterator[bytes]:
        yield from parts[:-1]
        long.stream(1, [parts[0], *parts[4:]])
        yield parts[-1]

    with pytest.raises(ProtocolError) as caught:
        long.stream(1, hanging())
    assert caught.value.code == "upload.late"
    long.upload_all(silos=(2, 3))
    long.work()
    (mine, *_), frame = long.board(1, Phase.SURVIVORS).seeds, long.upload_frame(1, 1, 3)
    assert (convert.encode_piece(Piece(0, mine)), convert.encode_piece(Piece(4, frame))) == (parts[1], parts[5])


def test_two_streams_at_once_bring_one_upload(long: Hub) -> None:
    parts = parts_of(long, MadeUpUpload.random(long, 1))
    both = threading.Barrier(2)

    def stream() -> str:
        both.wait()
        try:
            long.stream(1, parts)
        except ProtocolError as error:
            return error.code
        return "ok"

    with ThreadPoolExecutor(2) as pool:
        results = sorted(future.result() for future in [pool.submit(stream) for _ in range(2)])
    assert results[0] == "ok"
    assert results[1] in ("upload.late", "upload.repeated")
    pieces = [*(f"frame-{index}" for index in range(5)), "header", "seeds"]
    assert long.stored("*/upload-*") == [f"rounds/000001/upload-1/{piece}" for piece in pieces]


def test_what_is_incomplete_is_erased_when_the_round_takes_no_more(large: Hub) -> None:
    large.upload_all(silos=(1, 2, 3))
    torn = MadeUpUpload.random(large, 4)
    with pytest.raises(ConnectionResetError):
        large.stream(4, broken_off(torn.parts(large.members.seal(4, torn.header))[:2]))
    assert large.stored("rounds/*/arriving-4/seeds")
    arriving = large.coordinator._arrivals._arriving[4]
    large.now += DEADLINE
    large.work()
    assert not large.stored("rounds/*/arriving-*")
    with pytest.raises(ProtocolError) as caught:
        arriving.take(Piece(1, torn.frames[0]))  # of a stream that is still open
    assert caught.value.code == "upload.late"
    assert not large.stored("rounds/*/arriving-*")


@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_incomplete_is_erased_when_the_round_is_abandoned(
    hub: Hub, upload: MadeUpUpload, stopped: bool
) -> None:
    with pytest.raises(ConnectionResetError):
        hub.stream(1, broken_off(parts_of(hub, upload)[:2]))
    if stopped:
        hub.restart()
    hub.now += DEADLINE
    hub.work()
    assert hub.board(1, Phase.CLOSED).phase == Phase.ABANDONED
    assert not hub.stored("rounds/*/arriving-*")


def test_a_silo_takes_the_place_of_one_upload_on_the_disk(long: Hub) -> None:
    """However often it begins, breaks off and tries others."""
    for seed in range(4):
        upload = MadeUpUpload.random(long, 1, seed=seed)
        with pytest.raises((ProtocolError, ConnectionResetError)):
            long.stream(1, broken_off(parts_of(long, upload)[: 3 + seed]))
    pieces = ("frame-0", "header", "seeds")
    assert long.stored("rounds/*/arriving-*") == [f"rounds/000001/arriving-1/{piece}" for piece in pieces]
    assert len(list((long.root / "study" / "frames").iterdir())) == 1


def test_a_frame_that_is_not_what_the_header_says_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    other = MadeUpUpload.random(hub, 2)
    assert spoilt(hub, upload.__class__(upload.header, other.frames, upload.seeds), stored=1) == "upload.digest"
    hub.upload(upload)


def test_seeds_that_are_not_what_the_header_says_are_refused(hub: Hub, upload: MadeUpUpload) -> None:
    wrong = MadeUpUpload(upload.header, upload.frames, b"\0" * len(upload.seeds))
    assert spoilt(hub, wrong, stored=0) == "upload.digest"
    hub.upload(upload)


@pytest.mark.parametrize("change", [-1, 1, 64])
def test_seeds_of_another_length_are_refused(hub: Hub, upload: MadeUpUpload, change: int) -> None:
    seeds = (upload.seeds + b"\0" * 64)[: len(upload.seeds) + change]
    assert spoilt(hub, MadeUpUpload.of(hub, 1, 1, upload.frames, seeds), stored=0) == "upload.length"


def test_a_word_outside_its_modulus_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    words = frames.decode(upload.frames[0], 1, hub.params)
    words[0, 0, 17] = hub.params.primes[0]
    made = (frames.encode(words, hub.params),)
    assert spoilt(hub, MadeUpUpload.of(hub, 1, 1, made, upload.seeds), stored=1) == "protocol.frame_range"


@pytest.mark.parametrize("size", [1, 24_575, 24_577])
def test_frames_that_are_no_whole_ciphertexts_are_refused_by_the_header(
    hub: Hub, upload: MadeUpUpload, size: int
) -> None:
    assert refused(hub, MadeUpUpload.of(hub, 1, 1, (b"\0" * size,), upload.seeds)) == "upload.shape"


@pytest.mark.parametrize("length", [1, 8_190, LONG])
def test_only_the_shape_of_the_study_is_taken_whoever_comes_first(hub: Hub, length: int) -> None:
    """The first header of a round fixes nothing for the others."""
    fits = hub.params.frame_sizes(length) == hub.params.frame_sizes(hub.members.study.upload_length)
    other = MadeUpUpload.random(hub, 1, length=length)
    if fits:
        assert hub.begin(1, other.header) == 0
    else:
        assert refused(hub, other) == "upload.shape"
    hub.upload(MadeUpUpload.random(hub, 2))


def test_a_frame_longer_than_the_header_says_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    longer = MadeUpUpload(upload.header, (upload.frames[0] + b"\0",), upload.seeds)
    assert spoilt(hub, longer, stored=1) == "upload.length"


def test_more_frames_than_the_header_says_are_refused(hub: Hub, upload: MadeUpUpload) -> None:
    assert spoilt(hub, MadeUpUpload(upload.header, upload.frames * 2, upload.seeds), stored=2) == "upload.order"
    hub.upload(upload)


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (0, 0, 2), (0, 1, 1)])
def test_parts_in_another_order_are_refused(hub: Hub, upload: MadeUpUpload, order: tuple[int, ...]) -> None:
    parts = parts_of(hub, upload)
    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, [parts[position] for position in order])
    assert caught.value.code == "upload.order"


def test_a_gap_is_refused_before_and_after_what_is_there(long: Hub) -> None:
    parts = parts_of(long, MadeUpUpload.random(long, 1))
    for sent in ([0, 2], [0, 1, 3], [0, 1, 2, 1], [0, 1, 2, 2]):
        with pytest.raises(ProtocolError) as caught:
            long.stream(1, [parts[position] for position in sent])
        assert caught.value.code == "upload.order"
    long.stream(1, parts)


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
    before = hub.store.round(1).frame(1, 0)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(MadeUpUpload.random(hub, 1, seed=5))
    assert caught.value.code == "upload.repeated"
    assert hub.store.round(1).frame(1, 0) == before


def test_another_context_or_share_set_is_refused_and_blocks_nobody(hub: Hub, upload: MadeUpUpload) -> None:
    hub.upload(upload)
    other = MadeUpUpload.random(hub, 2)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(other.with_header(ctx=context(9)))
    assert caught.value.code == "round.split_view"
    with pytest.raises(ProtocolError) as caught:
        hub.upload(other.with_header(share_set=b"\3" * 32))
    assert caught.value.code == "round.split_view"
    hub.upload(other)


@pytest.mark.parametrize("number", [2, 3, 1_000_000])
def test_a_round_that_is_not_open_takes_nothing(hub: Hub, upload: MadeUpUpload, number: int) -> None:
    assert refused(hub, upload.with_header(round_number=number)) == "round.not_open"
    assert not hub.stored(f"rounds/{number:06d}/*")


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
    for unary in (hub._service._submit, hub._service._begin_upload, hub._service._download_upload_frame):
        with pytest.raises(ProtocolError):
            unary(data, hub._caller(1))
    for streamed in (hub._service._await, hub._service._download):
        with pytest.raises(ProtocolError):
            list(streamed(data, hub._caller(1)))
    with pytest.raises(ProtocolError):
        hub.stream(1, [data])
