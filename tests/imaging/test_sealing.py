import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging import sealing
from imaging.errors import ImagingError

KEY = bytes(range(32))


@pytest.mark.parametrize("size", [0, 1, sealing.CHUNK - 1, sealing.CHUNK, sealing.CHUNK + 1, 3 * sealing.CHUNK])
def test_what_is_sealed_opens_again_and_cannot_be_read_without_the_key(tmp_path, size):
    content = os.urandom(size)
    sealing.write(tmp_path / "f", KEY, b"image", content)
    assert sealing.read(tmp_path / "f", KEY, b"image") == content
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert size < 16 or content[:16] not in (tmp_path / "f").read_bytes()
    for key, purpose in ((bytes(32), b"image"), (KEY, b"mask")):
        with pytest.raises(ImagingError) as caught:
            sealing.read(tmp_path / "f", key, purpose)
        assert caught.value.code == "sealed.unreadable"


def test_the_same_content_is_never_sealed_to_the_same_bytes(tmp_path):
    for name in "ab":
        sealing.write(tmp_path / name, KEY, b"image", b"x" * 100)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_nothing_is_written_over(tmp_path):
    sealing.write(tmp_path / "f", KEY, b"image", b"first")
    with pytest.raises(FileExistsError):
        sealing.write(tmp_path / "f", KEY, b"image", b"second")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "f"
    sealing.write(path, KEY, b"image", os.urandom(2 * sealing.CHUNK + 5))
    return path.read_bytes()


@settings(max_examples=25)
@given(st.data())
def test_every_altered_bit_is_found(sealed, tmp_path_factory, data):
    at = data.draw(st.integers(0, len(sealed) - 1))
    altered = bytearray(sealed)
    altered[at] ^= 1 << data.draw(st.integers(0, 7))
    refused(bytes(altered), tmp_path_factory)


@pytest.mark.parametrize("keep", [0, 10, 51, 52, 67, sealing.CHUNK, sealing.CHUNK + 67, 2 * (sealing.CHUNK + 16) + 51])
def test_a_cut_file_is_found(sealed, tmp_path_factory, keep):
    refused(sealed[:keep], tmp_path_factory)


def test_exchanged_repeated_and_added_chunks_are_found(sealed, tmp_path_factory):
    head, step = len(sealing.MAGIC) + 32, sealing.CHUNK + 16
    start, one, two, rest = sealed[:head], sealed[head:][:step], sealed[head + step :][:step], sealed[head + 2 * step :]
    for altered in (start + two + one + rest, start + one + one + rest, sealed + b"\0", sealed + rest, start + one):
        refused(altered, tmp_path_factory)


def refused(data, folders):
    path = folders.mktemp("altered") / "f"
    path.write_bytes(data)
    with pytest.raises(ImagingError):
        sealing.read(path, KEY, b"image")
