"""An upload counts only if its frames and seeds are what its header says and have the study's shape."""

import pytest

from privacy.errors import ProtocolError
from privacy.he import frames
from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.serving.uploads.streams import LONG, parts_of, refused, spoilt


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
