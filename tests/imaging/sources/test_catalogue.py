import os
import sqlite3
import tracemalloc
from pathlib import Path

import pydicom.config
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file, get_testdata_files
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from imaging.deidentification import Pseudonyms
from imaging.errors import ImagingError
from imaging.sources import header, header_batches
from imaging.sources.catalogue import Catalogue
from imaging.sources.query import Query

NAMES = Pseudonyms(b"k" * 32)
QUERY = Query(
    format="collegium-query/1", modalities=("CR",), sop_classes=("ComputedRadiographyImageStorage",), patients=("P-1",)
)


@pytest.fixture
def source(tmp_path, make_dicom, encoded):
    """Two patients, three series, five images, and three files that are none."""
    folder = tmp_path / "source"
    folder.mkdir()
    for patient, series, count in (("P-1", "1.2.1", 2), ("P-1", "1.2.2", 1), ("P-2", "1.2.3", 2)):
        for number in range(count):
            dataset = make_dicom(PatientID=patient, SeriesInstanceUID=series, StudyInstanceUID="1.1." + patient[2:])
            (folder / f"{series}.{number}").write_bytes(encoded(dataset))
    (folder / "notes.txt").write_bytes(b"hello")
    (folder / "link").symlink_to(folder / "notes.txt")
    (folder / "anonymous").write_bytes(encoded(make_dicom(PatientID=None)))
    return folder


@pytest.fixture
def opened(tmp_path, source):
    with Catalogue(tmp_path / "index", source, NAMES) as catalogue:
        yield catalogue


@pytest.fixture
def read_headers(monkeypatch):
    """The paths whose headers were read, in this process."""
    read = []
    real = header.read
    monkeypatch.setattr(header, "read", lambda path: (read.append(path), real(path))[1])
    return read


def test_a_scan_finds_series_of_patients_by_pseudonyms(opened):
    summary = opened.scan()
    assert (summary.files, summary.read, summary.removed) == (8, 8, 0)
    assert summary.rejected == {"file.not_regular": 1, "header.no_patient": 1, "header.not_dicom": 1}
    assert dict(opened.rejected_paths()) == {
        "anonymous": "header.no_patient",
        "link": "file.not_regular",
        "notes.txt": "header.not_dicom",
    }
    found = list(opened.select(QUERY))
    assert {series.patient for series in found} == {NAMES.patient("P-1")}
    assert {series.study for series in found} == {NAMES.uid("1.1.1")}
    assert sorted(len(series.paths) for series in found) == [1, 2]
    assert "1.2.1" not in repr(found)
    everyone = QUERY.model_copy(update={"patients": ()})
    assert len(list(opened.select(everyone))) == 3


def test_neither_a_patient_nor_a_uid_is_in_the_index(opened, tmp_path, source, make_dicom, encoded):
    secret = make_dicom(PatientID="SECRET-PATIENT", SOPInstanceUID="1.9.99999.1", StudyInstanceUID="1.9.99999.2")
    (source / "x").write_bytes(encoded(secret))
    opened.scan()
    opened.close()
    for file in tmp_path.glob("index*"):
        assert b"SECRET-PATIENT" not in file.read_bytes()
        assert b"1.9.99999" not in file.read_bytes()
        assert file.stat().st_mode & 0o77 == 0


def test_a_second_scan_reads_only_what_is_new_or_changed(opened, source, make_dicom, encoded, read_headers):
    opened.scan()
    read_headers.clear()
    assert opened.scan().read == 0
    assert read_headers == []
    (source / "new").write_bytes(encoded(make_dicom()))
    os.utime(source / "1.2.1.0", ns=(1, 1))
    (source / "1.2.2.0").unlink()
    summary = opened.scan()
    assert (summary.read, summary.removed) == (2, 1)
    assert sorted(read_headers) == [f"{source}/1.2.1.0", f"{source}/new"]


def test_an_interrupted_scan_goes_on(opened, source, monkeypatch, read_headers):
    monkeypatch.setattr(header_batches, "BATCH", 3)

    def stop(seen):
        if seen == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.scan(on_progress=stop)
    read_headers.clear()
    summary = opened.scan()
    assert (summary.files, summary.read, summary.removed) == (8, 2, 0)
    assert len(list(opened.select(QUERY))) == 2


def test_workers_give_the_same_index(opened, tmp_path, source, monkeypatch):
    monkeypatch.setattr(header_batches, "BATCH", 2)
    opened.scan()
    with Catalogue(tmp_path / "other", source, NAMES) as other:
        seen = []
        assert other.scan(workers=2, on_progress=seen.append).files == 8
        assert seen == [2, 4, 6, 8]
        assert list(other.select(QUERY)) == list(opened.select(QUERY))
        assert list(other.rejected_paths()) == list(opened.rejected_paths())


def test_a_query_that_means_too_much_is_refused_whole(opened):
    opened.scan()
    for limits, code in (({"studies": 1}, "query.too_many_studies"), ({"instances": 4}, "query.too_many_instances")):
        query = Query(**{**QUERY.model_dump(), "patients": (), "limits": {"studies": 9, "instances": 9, **limits}})
        with pytest.raises(ImagingError) as caught:
            next(opened.select(query))
        assert caught.value.code == code


def test_an_index_belongs_to_one_folder_and_one_schema(opened, tmp_path, source):
    opened.close()
    with pytest.raises(ImagingError) as caught:
        Catalogue(tmp_path / "index", tmp_path, NAMES)
    assert caught.value.code == "catalogue.other_folder"
    with sqlite3.connect(tmp_path / "index") as database:
        database.execute("UPDATE about SET schema = 0")
    with pytest.raises(ImagingError) as caught:
        Catalogue(tmp_path / "index", source, NAMES)
    assert caught.value.code == "catalogue.schema"
    (tmp_path / "index").write_bytes(b"no database" * 1000)
    with pytest.raises(ImagingError) as caught:
        Catalogue(tmp_path / "index", source, NAMES)
    assert caught.value.code == "catalogue.damaged"


def test_every_name_that_a_file_can_have_is_indexed(opened, source, make_dicom, encoded):
    (source / "\udcff\udcfe").write_bytes(encoded(make_dicom()))
    opened.scan()
    assert "\udcff\udcfe" in {path for series in opened.select(QUERY) for path in series.paths}


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_a_header_longer_than_the_window_is_read_whole(tmp_path, make_dicom, encoded, syntax):
    more = {"StudyDescription": "x", "ImageComments": "y" * 10, "InstanceCreatorUID": generate_uid()}
    dataset = make_dicom(**({"syntax": syntax} if syntax else {}), **more)
    dataset.add_new(0x0009_0010, "LO", "MAKER")
    dataset.add_new(0x0009_1001, "OB", bytes(3 * header.WINDOW))
    (tmp_path / "long").write_bytes(encoded(dataset))
    found = header.read(str(tmp_path / "long"))
    assert (found.patient, found.series) == ("P-1", dataset.SeriesInstanceUID)


def test_headers_are_refused_by_name(tmp_path, make_dicom, encoded):
    whole = encoded(make_dicom(SeriesInstanceUID="9.8.7.6.5"))
    with pydicom.config.disable_value_validation():
        long = make_dicom(SeriesDescription="y" * 5000)
    end = whole.index(make_dicom().PatientID.encode()) - 20
    for data, code in (
        (b"", "header.not_dicom"),
        (bytes(200), "header.not_dicom"),
        (whole[:end], "header.truncated"),
        (whole[: whole.index(b"9.8.7.6.5") + 5], "header.truncated"),
        (encoded(make_dicom(SeriesInstanceUID=None)), "header.no_instance"),
        (encoded(make_dicom(PatientID="")), "header.no_patient"),
        (encoded(long), "header.malformed"),
    ):
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(header.HeaderRejected) as caught:
            header.read(str(tmp_path / "file"))
        assert caught.value.code == code
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(header.HeaderRejected, match=r"file\.unreadable"):
        header.read(str(tmp_path / "link"))


@pytest.mark.parametrize("size", [0, 200_000])
def test_a_deflated_header_is_read_from_its_first_part(tmp_path, make_dicom, size):
    dataset = make_dicom(ImageComments="x", PixelData=os.urandom(size) or bytes(384))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated", enforce_file_format=True)
    found = header.read(str(tmp_path / "deflated"))
    assert (found.patient, found.series) == ("P-1", dataset.SeriesInstanceUID)


def test_a_deflated_bomb_is_not_inflated(tmp_path, make_dicom):
    dataset = make_dicom()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.add_new(0x0009_0010, "LO", "MAKER")
    dataset.add_new(0x0009_1001, "OB", bytes(80 * 2**20))
    dataset.save_as(tmp_path / "bomb", enforce_file_format=True)
    tracemalloc.start()
    try:
        with pytest.raises(header.HeaderRejected, match=r"header\.(truncated|too_long|malformed)"):
            header.read(str(tmp_path / "bomb"))
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_no_bundled_file_breaks_the_scan():
    """Every oddity that pydicom tests itself with gives a header or a code."""
    codes = set()
    for path in filter(os.path.isfile, get_testdata_files()):
        try:
            header.read(str(path))
        except header.HeaderRejected as error:
            codes.add(error.code)
    assert codes <= {
        "header.not_dicom",
        "header.malformed",
        "header.truncated",
        "header.no_patient",
        "header.no_instance",
    }


@given(
    st.sampled_from(["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "rtplan.dcm"]),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    st.integers(0, 40_000),
)
@settings(max_examples=150)
def test_whatever_is_in_a_file_gives_a_header_or_a_code(tmp_path_factory, name, changes, size):
    data = bytearray(Path(get_testdata_file(name)).read_bytes())
    for place, value in changes:
        data[place : place + len(value)] = value
    file = tmp_path_factory.getbasetemp() / "mutant"
    file.write_bytes(data[:size] if size > 300 else data)
    try:
        found = header.read(str(file))
    except header.HeaderRejected:
        return
    assert found.patient
    assert found.series
