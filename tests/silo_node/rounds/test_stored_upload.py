"""A stored upload is sent again byte for byte, or not at all."""

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy import durable
from privacy.errors import CorruptState, StorageError
from privacy.secagg.masked import MaskedFrame
from privacy.wire import bodies
from privacy.wire.messages import UploadHeader
from silo_node.rounds.stored_upload import StoredUpload, UnsignedUpload

CTX, OTHER = b"c" * 32, b"d" * 32
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


def masked(wire: bytes) -> MaskedFrame:
    return MaskedFrame(wire, sha256(wire).digest(), b"seeds of " + wire, (1, 2))


def made(
    folder: Path, ctx: bytes = CTX, key: Ed25519PrivateKey = KEY, wires: tuple[bytes, ...] = (b"one", b"two!")
) -> StoredUpload:
    upload = UnsignedUpload(folder)
    for wire in wires:
        upload.add(masked(wire))
    seeds = sha256(upload.seeds).digest()
    header = UploadHeader(ctx, 1, 1, upload.frame_bytes, upload.frame_sha256, seeds)
    return upload.sign(bodies.seal(header, "north", key))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "upload"
    made(folder)
    return folder


def test_it_comes_back_byte_for_byte(tmp_path: Path) -> None:
    upload = made(tmp_path / "upload")
    assert StoredUpload.load(upload.folder, CTX, PUBLIC) == upload
    assert list(upload.frames()) == [b"one", b"two!"]
    assert upload.seeds == b"seeds of oneseeds of two!"


def test_an_upload_of_another_context_is_none(folder: Path) -> None:
    assert StoredUpload.load(folder, OTHER, PUBLIC) is None


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert StoredUpload.load(tmp_path / "upload", CTX, PUBLIC) is None


def test_a_new_upload_replaces_the_old_one_whole(folder: Path) -> None:
    newer = made(folder, OTHER, wires=(b"three",))
    assert StoredUpload.load(folder, CTX, PUBLIC) is None
    assert StoredUpload.load(folder, OTHER, PUBLIC) == newer
    assert not (folder / "frame-1").exists()


@pytest.mark.parametrize("left", range(4))
def test_one_that_was_not_stored_whole_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    write, done = durable.write, []

    def failing(path: Path, data: bytes) -> None:
        if len(done) == left:
            raise StorageError("the disk refused a write")
        done.append(path)
        write(path, data)

    monkeypatch.setattr(durable, "write", failing)
    with pytest.raises(StorageError):
        made(tmp_path / "upload")
    assert StoredUpload.load(tmp_path / "upload", CTX, PUBLIC) is None


@pytest.mark.parametrize("name", ["frame-0", "frame-1", "seeds"])
def test_a_damaged_or_missing_piece_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(CorruptState):
        StoredUpload.load(folder, CTX, PUBLIC)
    (folder / name).unlink()
    with pytest.raises(CorruptState):
        StoredUpload.load(folder, CTX, PUBLIC)


@pytest.mark.parametrize("header", [b"", b"garbage", None])
def test_a_header_that_is_not_ours_is_refused(folder: Path, tmp_path: Path, header: bytes | None) -> None:
    foreign = made(tmp_path / "foreign", key=Ed25519PrivateKey.generate())
    (folder / "header").write_bytes(bodies.encode_signed(foreign.header) if header is None else header)
    with pytest.raises(CorruptState):
        StoredUpload.load(folder, CTX, PUBLIC)


def test_it_is_private_and_can_be_erased(folder: Path) -> None:
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    StoredUpload.erase(folder)
    StoredUpload.erase(folder)
    assert not folder.exists()
