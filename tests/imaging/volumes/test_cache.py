import os

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from imaging.errors import ImagingError
from imaging.volumes import cache as caching
from imaging.volumes import codecs, decode, pictures, scan
from imaging.volumes.cache import CacheDamaged, VolumeCache
from imaging.volumes.manifest import Manifest
from tests.imaging.series import Series, write

KEY = bytes(range(32))


@pytest.fixture
def volume(tmp_path):
    (tmp_path / "source").mkdir()
    (stack,) = scan(write(tmp_path / "source", Series().files())).stacks
    return decode(stack).volume


@pytest.fixture
def cache(tmp_path):
    return VolumeCache(tmp_path / "cache", KEY)


def entries(cache):
    return sorted(cache._folder.iterdir())


def same(one, other):
    assert one.manifest == other.manifest
    assert one.array.dtype == other.array.dtype
    assert not one.array.flags.writeable
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_array_equal(one.affine, other.affine)


def never():
    pytest.fail("it was made again")


def test_a_volume_is_made_once(cache, volume):
    same(cache.volume("d", {"spacing": [1.0, 1.0, 2.0]}, lambda: volume), volume)
    same(cache.volume("d", {"spacing": [1.0, 1.0, 2.0]}, never), volume)
    same(VolumeCache(cache._folder, KEY).volume("d", {"spacing": [1.0, 1.0, 2.0]}, never), volume)


def test_a_compressed_series_is_decoded_once(tmp_path, cache, monkeypatch):
    files = Series(rows=32, columns=32).files()
    for file in files:
        file.compress(JPEG2000Lossless, generate_instance_uid=False)
    (tmp_path / "source").mkdir()
    (stack,) = scan(write(tmp_path / "source", files)).stacks
    first = cache.volume(stack.digest, {}, lambda: decode(stack).volume)
    monkeypatch.setattr(codecs, "decode", lambda *_, **__: pytest.fail("it was decoded again"))
    same(cache.volume(stack.digest, {}, lambda: decode(stack).volume), first)


def test_other_content_parameters_pipelines_and_keys_are_other_entries(cache, volume, monkeypatch):
    cache.put("d", {"spacing": 1}, volume)
    assert cache.get("e", {"spacing": 1}) is None
    assert cache.get("d", {"spacing": 2}) is None
    assert VolumeCache(cache._folder, bytes(32)).get("d", {"spacing": 1}) is None
    monkeypatch.setattr(caching, "PIPELINE", caching.PIPELINE + 1)
    assert cache.get("d", {"spacing": 1}) is None


def test_an_image_without_a_place_is_kept_as_it_is(cache, tmp_path):
    from PIL import Image

    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(tmp_path / "p.png")
    (image,) = pictures.read(tmp_path / "p.png")
    cache.put("p", {}, image)
    found = cache.get("p", {})
    assert found.affine is None
    np.testing.assert_array_equal(found.array, image.array)


def test_entries_are_private_and_show_nothing(cache, volume):
    cache.put("0123abcd", {}, volume)
    (path,) = entries(cache)
    assert path.stat().st_mode & 0o777 == 0o600
    assert cache._folder.stat().st_mode & 0o777 == 0o700
    assert "0123abcd" not in path.name
    for plain in (b"manifest", volume.array.tobytes()[:32], volume.manifest.source_digest.encode()):
        assert plain not in path.read_bytes()


@pytest.mark.parametrize("at", [0, 30, 60, -1])
def test_a_damaged_entry_is_found_and_made_again(cache, volume, at):
    cache.put("d", {}, volume)
    (path,) = entries(cache)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CacheDamaged) as caught:
        cache.get("d", {})
    assert caught.value.code == "cache.damaged"
    same(cache.volume("d", {}, lambda: volume), volume)
    assert cache.repaired == 1
    same(cache.volume("d", {}, never), volume)


def test_an_entry_in_anothers_place_is_found(cache, volume):
    cache.put("d", {}, volume)
    (one,) = entries(cache)
    data = one.read_bytes()
    one.unlink()
    cache.put("e", {}, volume)
    (other,) = entries(cache)
    other.write_bytes(data)
    with pytest.raises(CacheDamaged):
        cache.get("e", {})


def test_a_kill_between_write_and_rename_leaves_nothing_that_opens(cache, volume, monkeypatch):
    monkeypatch.setattr(caching, "_sync", lambda _: os._exit(9))
    pid = os.fork()
    if pid == 0:
        cache.put("d", {}, volume)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    monkeypatch.undo()
    assert cache.get("d", {}) is None
    assert [path.suffix for path in entries(cache)] == [".partial"]
    assert cache.prune() == 1


def test_a_full_disk_is_named_and_leaves_nothing(cache, volume, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching, "_sync", full)
    with pytest.raises(ImagingError) as caught:
        cache.volume("d", {}, lambda: volume)
    assert caught.value.code == "cache.storage"
    assert entries(cache) == []


def test_what_is_no_longer_wanted_goes(cache, volume):
    for digest in "abc":
        cache.put(digest, {}, volume)
    again = caching.VolumeCache(cache._folder, cache._key)
    assert again.get("a", {}) is not None
    assert again.get("x", {}) is None
    assert again.prune() == 2
    assert again.get("a", {}) is not None
    assert again.get("b", {}) is None


def test_a_manifest_is_read_as_it_was_written_and_no_other_way(volume):
    data = volume.manifest.canonical()
    assert Manifest.parse(data) == volume.manifest
    for other in (data + b" ", data.replace(b'"lossy":false,', b""), data.replace(b"{", b'{"a":1,', 1)):
        with pytest.raises(ValueError, match="manifest"):
            Manifest.parse(other)
