"""Everything else that reads DICOM: label files, directories of media, de-identification, and what archives answer."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import requests
from pydicom import Dataset
from pynetdicom.dsutils import decode, encode

from imaging.deidentification import folder as deidentification
from imaging.deidentification.profile import PixelPolicy, Profile
from imaging.errors import ImagingError
from imaging.labels import contours, measurements, segmentation
from imaging.labels.mask import Grid
from imaging.labels.measurements import Evaluation, Measurement
from imaging.labels.selection import ClassRule, Code
from imaging.sources import folder
from imaging.sources.archive import DicomWeb, Dimse, FetchFailed, RemoteSeries
from imaging.sources.associations import Associations
from imaging.sources.dicomweb import DicomWebArchive
from imaging.sources.dimse import DimseArchive
from imaging.sources.query import Query, SeriesFacts
from tests.fuzz.files import in_file
from tests.fuzz.image_targets import Names, a_slice
from tests.fuzz.target import Target

SEEDS = Path(__file__).parent / "seeds"
REFUSES = (ImagingError,)
LIVER = [ClassRule("liver", labels=("Liver",), codes=(Code("10200004", "SCT"),))]
GRID = Grid((6, 5, 3), np.array([[-0.75, 0, 0, 31.5], [0, -1.5, 0, -12.25], [0, 0, 4, 101], [0, 0, 0, 1]]))
GRADE = Evaluation(Code("G1", "99MADE"), {Code("L", "99MADE"): 0, Code("H", "99MADE"): 1})
DIAMETER = Measurement(Code("81827009", "SCT"), Code("mm", "UCUM"))
PLAIN = Profile(version=1, project="fuzz", pixels=PixelPolicy(text_search="off"))
QUERY = Query(format="collegium-query/1", modalities=("CT",), sop_classes=("CTImageStorage",))
SERIES = RemoteSeries("1.2", "1.2.3", SeriesFacts("CT", None, None, None, "P", "1.2"), None)

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def kept(*names: str) -> Callable[[], Iterator[bytes]]:
    """Seeds that a library writes too slowly to make them each time."""

    def seeds() -> Iterator[bytes]:
        import highdicom.seg
        import highdicom.sr  # noqa: F401 - takes seconds once, which no parser is to be blamed for

        yield from (SEEDS.joinpath(name).read_bytes() for name in names)

    return seeds


def report(path: Path) -> object:
    """What is asked of a structured report, in both ways."""
    return [measurements.read(path, asked) for asked in (GRADE, DIAMETER)]


def medium(data: bytes) -> object:
    """A folder that is a medium with this directory."""

    def read(path: Path) -> object:
        (path.parent / "A").mkdir()
        (path.parent / "A/B").touch()
        return list(folder.walk(path.parent))

    return in_file(read, folder.DICOMDIR, data)


def deidentified(path: Path) -> object:
    """A folder of one file, de-identified."""
    out = path.parent / "out"
    source = path.parent / "in"
    source.mkdir()
    path.rename(source / path.name)
    return deidentification.deidentify(source, out, PLAIN, Names())


class Answers(requests.adapters.BaseAdapter):
    """An archive that answers everything with the same bytes."""

    def __init__(self, data: bytes, kind: str) -> None:
        super().__init__()
        self._data, self._kind = data, kind

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, str(request.url)
        answer.headers["Content-Type"] = self._kind
        answer.raw = BytesIO(self._data)
        return answer

    def close(self) -> None:
        pass


def web(data: bytes, kind: str) -> DicomWebArchive:
    """A client of such an archive."""
    archive = DicomWebArchive(DicomWeb(url="http://localhost/", unencrypted=True), Path(), 2**20)
    archive._session.mount("http://", Answers(data, kind))
    return archive


def searched(data: bytes) -> object:
    """All that is asked by QIDO-RS."""
    archive = web(data, "application/dicom+json")
    archive.echo()
    return list(archive.find(QUERY)), archive.instances(SERIES)


def fetched(data: bytes) -> None:
    """What comes by WADO-RS."""
    web(data, 'multipart/related; type="application/dicom"; boundary=b').fetch(SERIES, None, (), lambda _: None)


def found(data: bytes) -> object:
    """All that is asked by C-FIND, each answered by this data set."""

    class Association:
        def send_c_find(self, *_: Any) -> Iterator[tuple[Dataset, Dataset | None]]:
            status = Dataset()
            status.Status = 0xFF00
            try:
                answer = decode(BytesIO(data), True, True)
            except Exception:  # noqa: BLE001 - as pynetdicom does, which then has no answer
                answer = None
            yield status, answer

    class Finding(Associations):
        @contextmanager
        def finding(self) -> Iterator[Any]:
            yield Association()

    endpoint = Dimse(host="localhost", port=104, called_ae="A", calling_ae="B", unencrypted=True)
    archive = DimseArchive(endpoint, Path())
    archive._associations = Finding(endpoint, Path())
    return list(archive.find(QUERY)), archive.instances(SERIES)


def an_answer() -> Iterator[bytes]:
    """A data set of one series."""
    answer = Dataset()
    answer.StudyInstanceUID, answer.SeriesInstanceUID = "1.2", "1.2.3"
    answer.PatientID, answer.StudyDate = "P", "20240506"
    answer.Modality, answer.ModalitiesInStudy, answer.NumberOfSeriesRelatedInstances = "CT", ["CT", "SR"], 7
    answer.SOPInstanceUID, answer.SOPClassUID, answer.SeriesDescription = "1.2.3.4", "1.2.840.10008.5.1.4.1.1.2", "lung"
    yield bytes(encode(answer, True, True) or b"")


def a_page() -> Iterator[bytes]:
    """A page of DICOM JSON."""
    values = {"0020000D": "1.2", "0020000E": "1.2.3", "00080018": "1.2.3.4", "00080060": "CT", "00100020": "P"}
    result = {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}
    yield json.dumps([{**result, "00201209": {"vr": "IS", "Value": [7]}}]).encode()


def some_parts() -> Iterator[bytes]:
    """A multipart answer of one slice."""
    for data in a_slice():
        yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n"
        return


TARGETS = (
    Target(
        "segmentation",
        partial(in_file, lambda path: segmentation.read(path, LIVER, GRID), "x.dcm"),
        REFUSES,
        kept("seg.dcm", "labelmap.dcm"),
        8192,
        1100,
    ),
    Target(
        "contours",
        partial(in_file, lambda path: contours.read(path, LIVER, GRID), "x.dcm"),
        REFUSES,
        kept("rtstruct.dcm"),
    ),
    Target("structured-report", partial(in_file, report, "x.dcm"), REFUSES, kept("report.dcm"), 8192),
    Target("dicomdir", medium, REFUSES, kept("dicomdir.dcm")),
    Target("deidentified", partial(in_file, deidentified, "x.dcm"), REFUSES, a_slice, 8192, 1100),
    Target("dicomweb-search", searched, (*REFUSES, FetchFailed), a_page),
    Target("dicomweb-fetch", fetched, (*REFUSES, FetchFailed), some_parts, 8192),
    Target("dimse-answer", found, (*REFUSES, FetchFailed), an_answer),
)
