import os
import shutil
from pathlib import Path

import pydicom.config
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.fileset import FileSet

from imaging.errors import ImagingError
from imaging.sources import folder


@pytest.fixture
def medium(tmp_path):
    """pydicom's bundled medium: a DICOMDIR with 31 files of two patients."""
    source = Path(get_testdata_file("DICOMDIR")).parent
    shutil.copytree(source, tmp_path / "medium")
    return tmp_path / "medium"


def refusal(path):
    with pytest.raises(ImagingError) as caught:
        list(folder.walk(path))
    assert str(path) not in str(caught.value)
    return caught.value.code


def test_every_file_is_found_once_and_links_are_marked_and_not_followed(tmp_path):
    source = tmp_path / "source"
    (source / "b" / "c").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"x")
    for name in ("a", "b/1", "b/c/2"):
        (source / name).write_bytes(b"12345")
    (source / "to-file").symlink_to(outside / "secret")
    (source / "to-folder").symlink_to(outside)
    os.mkfifo(source / "pipe")
    found = list(folder.walk(source))
    assert [(f.path, f.regular) for f in found] == [
        ("a", True),
        ("b/1", True),
        ("b/c/2", True),
        ("pipe", False),
        ("to-file", False),
        ("to-folder", False),
    ]
    assert found[0].size == 5
    assert found[0].mtime_ns == (source / "a").stat().st_mtime_ns


def test_a_file_that_goes_away_meanwhile_is_none(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x")
    found = folder.walk(tmp_path)
    assert next(found).path == "a"
    (tmp_path / "b").unlink()
    assert [each.path for each in found] == ["c"]


def test_a_dicomdir_gives_what_pydicoms_file_set_gives(medium):
    (medium / "not-listed").write_bytes(b"x")
    expected = sorted(str(Path(instance.path).relative_to(medium)) for instance in FileSet(medium / "DICOMDIR"))
    assert sorted(found.path for found in folder.walk(medium)) == expected
    assert len(expected) == 31


def test_a_missing_file_of_a_dicomdir_is_named_by_its_number(medium):
    (medium / next(folder.walk(medium)).path).unlink()
    assert refusal(medium) == "dicomdir.missing"


@pytest.mark.parametrize(
    "name", [["..", "secret"], ["/etc/hostname"], ["a/../../secret"], [".", ""], ["link", "secret"]]
)
def test_a_dicomdir_cannot_name_a_file_outside_its_folder(medium, name):
    outside = medium.parent / "outside"
    outside.mkdir()
    for place in (outside / "secret", medium.parent / "secret"):
        place.write_bytes(b"x")
    (medium / "link").symlink_to(outside)
    dataset = dcmread(medium / "DICOMDIR")
    record = next(record for record in dataset.DirectoryRecordSequence if "ReferencedFileID" in record)
    with pydicom.config.disable_value_validation():
        record.ReferencedFileID = name
        dataset.save_as(medium / "DICOMDIR")
    assert refusal(medium) == "dicomdir.outside"


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda data: b"no", lambda data: data[:128] + b"DICM"])
def test_a_damaged_dicomdir_refuses_the_medium(medium, damage):
    data = (medium / "DICOMDIR").read_bytes()
    (medium / "DICOMDIR").write_bytes(damage(data))
    assert refusal(medium) == "dicomdir.malformed"


def test_an_image_that_is_called_dicomdir_is_none(tmp_path):
    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "DICOMDIR")
    assert refusal(tmp_path) == "dicomdir.malformed"


def test_what_is_no_folder_is_refused(tmp_path):
    assert refusal(tmp_path / "none") == "source.folder"
    (tmp_path / "file").write_bytes(b"")
    assert refusal(tmp_path / "file") == "source.folder"


def test_endless_folders_are_refused(tmp_path):
    deep = tmp_path
    for _ in range(folder.MAX_DEPTH + 1):
        deep = deep / "d"
    deep.mkdir(parents=True)
    assert refusal(tmp_path) == "source.deep"
