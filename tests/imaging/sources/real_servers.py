"""Clients against real archives. Run by `test_servers.py` in a network namespace, and not collected otherwise."""

import contextlib
import csv
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from imaging.errors import ImagingError
from imaging.sources import dicomweb, multipart
from imaging.sources.archive import DicomWeb, Dimse
from imaging.sources.dicomweb import DicomWebArchive
from imaging.sources.dimse import DimseArchive
from imaging.sources.errors import ArchiveUnreachable
from imaging.sources.pulling import Pull
from imaging.sources.query import Query
from privacy.errors import Unreachable
from tests.e2e import commands
from tests.imaging.sources import archives

MIXED = ("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm")
PLAIN = {"format": "collegium-query/1", "modalities": ("MR",), "sop_classes": ("MRImageStorage",)}
LARGE = 2**30


class Archive:
    """What was put into the archives: a patient with a mixed series, one with two plain ones, one with a CT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.series = 0
        # Orthanc sends in the order of arrival, and says 500 where the first image is one that it cannot transcode.
        self.mixed = self.add("MIXED", [name for name in MIXED for _ in range(2)])
        self.plain = self.add("PLAIN", ["MR_small.dcm"] * 3) + self.add("PLAIN", ["MR_small.dcm"] * 2)
        self.ct = self.add("SCANNED", ["CT_small.dcm"])

    def add(self, patient, names):
        self.series += 1
        study, series = (generate_uid(entropy_srcs=[what, str(self.series)]) for what in ("study", "series"))
        made = []
        for number, name in enumerate(names, start=1):
            uid = generate_uid(entropy_srcs=[series, str(number)])
            dataset = dcmread(get_testdata_file(name))
            dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = patient, study, series
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
            dataset.InstanceNumber, dataset.SeriesDescription = number, f"axial {patient.lower()}"
            path = self.folder / f"{dataset.SOPInstanceUID}.dcm"
            dataset.save_as(path)
            made.append(path)
        return made

    def files(self):
        return self.mixed + self.plain + self.ct


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return Archive(tmp_path_factory.mktemp("made") / "images")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return archives.certify(tmp_path_factory.mktemp("pki") / "pki")


def post(server, paths, **how):
    for path in paths:
        requests.post(f"{server.url}/instances", data=path.read_bytes(), timeout=10, **how).raise_for_status()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory, images):
    with archives.orthanc(tmp_path_factory.mktemp("server") / "orthanc", 14242, 18042) as server:
        post(server, images.files())
        yield server


@pytest.fixture(scope="module")
def secure(tmp_path_factory, images, certificates):
    folder = tmp_path_factory.mktemp("server") / "secure"
    with archives.orthanc(folder, 14243, 18043, certificates) as server:
        post(server, images.plain, auth=("silo", "secret"))
        yield server


@pytest.fixture(scope="module")
def dcmqr(tmp_path_factory, images):
    with archives.dcmqrscp(tmp_path_factory.mktemp("server") / "dcmqr", 11115) as server:
        send = ["storescu", "-aet", "SILO", "-aec", "DCMQR", "-xe", "127.0.0.1", "11115"]
        subprocess.run([*send, *map(str, images.plain + images.ct)], check=True, capture_output=True)
        yield server


def web(server, base=Path(), **more):
    return DicomWebArchive(DicomWeb(url=f"{server.url}/dicom-web", unencrypted=True, **more), base, LARGE)


def dimse(server, base=Path(), **more):
    named = {"host": "127.0.0.1", "port": server.port, "called_ae": server.title, "calling_ae": "SILO"}
    return DimseArchive(Dimse(**{**named, "unencrypted": True, **more}), base)


MOVE = {"retrieve": "move", "move_host": "127.0.0.1", "move_port": 11113}


def query(**more):
    return Query(**PLAIN, **more)


def pixels(folder):
    return sorted(dcmread(path).PixelData for path in Path(folder).rglob("*.dcm"))


def sent(paths):
    return sorted(dcmread(path).PixelData for path in paths)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pulled").mkdir(mode=0o700)
    return tmp_path / "pulled"


def test_the_default_accept_loses_a_part_of_a_mixed_series_in_silence(orthanc, images, folder):
    """The trap that `transfer-syntax=*` is for: an answer with status 200 and fewer images."""
    one = dcmread(images.mixed[0])
    naive = DICOMwebClient(f"{orthanc.url}/dicom-web")
    assert len(naive.retrieve_series(one.StudyInstanceUID, one.SeriesInstanceUID)) < len(images.mixed)
    summary = Pull(web(orthanc), query(patients=("MIXED",)), folder).run()
    assert (summary.series, summary.images, summary.left_out) == (1, len(images.mixed), 0)
    assert pixels(folder) == sent(images.mixed)


@pytest.mark.parametrize("way", [web, dimse], ids=["web", "get"])
def test_all_that_is_meant_comes_from_orthanc_as_it_is_stored(way, orthanc, images, folder):
    archive = way(orthanc)
    archive.echo()
    summary = Pull(archive, query(), folder).run()
    assert (summary.studies, summary.series, summary.images) == (3, 3, 13)
    assert summary.fetched == 13
    assert pixels(folder) == sent(images.mixed + images.plain)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.dcm")} == {0o600}
    again = Pull(archive, query(), folder).run()
    assert (again.images, again.fetched) == (13, 0)


@pytest.mark.parametrize("more", [pytest.param({}, marks=pytest.mark.slow), MOVE], ids=["get", "move"])
def test_all_that_is_meant_comes_from_dcmqrscp(more, dcmqr, images, folder):
    archive = dimse(dcmqr, **more)
    archive.echo()
    summary = Pull(archive, query(), folder).run()
    assert (summary.studies, summary.series, summary.images) == (2, 2, 5)
    assert pixels(folder) == sent(images.plain)
    ct = Query(format="collegium-query/1", modalities=("CT",), sop_classes=("CTImageStorage",))
    (folder.parent / "ct").mkdir()
    assert Pull(archive, ct, folder.parent / "ct").run().images == 1


@pytest.mark.parametrize("page", [1, 2])
def test_searches_are_read_page_by_page(orthanc, monkeypatch, page):
    monkeypatch.setattr(dicomweb, "PAGE", page)
    archive = web(orthanc)
    found = list(archive.find(query()))
    assert len(found) == len({series.series for series in found}) == 3
    assert sorted(len(archive.instances(series)) for series in found) == [2, 3, 8]


def test_a_query_narrows_what_is_found(orthanc):
    for archive in (web(orthanc), dimse(orthanc)):
        assert len(list(archive.find(query(patients=("PLAIN",))))) == 2
        assert list(archive.find(query(patients=("NOBODY",)))) == []
        assert list(archive.find(query(series_description="*no such*"))) == []
        assert len(list(archive.find(query(series_description="AXIAL*")))) == 3
        study = next(archive.find(query(patients=("MIXED",)))).study
        assert [series.study for series in archive.find(query(studies=(study,)))] == [study]
        assert list(archive.find(query(study_dates={"first": "1900-01-01", "last": "1900-01-02"}))) == []


def test_limits_and_empty_answers_end_before_anything_is_fetched(orthanc, folder):
    for more, code in (
        ({"limits": {"studies": 2}}, "query.too_many_studies"),
        ({"limits": {"instances": 12}}, "query.too_many_instances"),
        ({"patients": ("NOBODY",)}, "pull.empty"),
    ):
        place = folder / code
        place.mkdir()
        with pytest.raises(ImagingError) as caught:
            Pull(web(orthanc), query(**more), place).run()
        assert caught.value.code == code
        assert not list(place.rglob("*.dcm"))


def test_a_folder_belongs_to_one_query(orthanc, folder):
    Pull(web(orthanc), query(patients=("PLAIN",)), folder).run()
    with pytest.raises(ImagingError) as caught:
        Pull(web(orthanc), query(), folder).run()
    assert caught.value.code == "pull.other_query"


def test_dimse_over_tls_checks_both_sides(secure, images, certificates, folder):
    tls = {"ca": "ca.pem", "certificate": "silo.pem", "key": "silo.key"}
    summary = Pull(dimse(secure, certificates, tls=tls, unencrypted=False), query(), folder).run()
    assert summary.images == len(images.plain)
    for wrong in ({"ca": "other.pem"}, {"certificate": "other.pem", "key": "other.key"}):
        with pytest.raises(ArchiveUnreachable):
            dimse(secure, certificates, tls=tls | wrong, unencrypted=False).echo()
    with pytest.raises(ArchiveUnreachable):
        dimse(secure).echo()


def test_dimse_over_tls_with_dcmtk(certificates, tmp_path):
    at = lambda name: str(certificates / name)  # noqa: E731
    command = [
        "storescp",
        "+tls",
        at("server.key"),
        at("server.pem"),
        "+cf",
        at("ca.pem"),
        "-od",
        str(tmp_path),
        "11777",
    ]
    tls = {"ca": "ca.pem", "certificate": "silo.pem", "key": "silo.key"}
    with archives.running(command, 11777, tmp_path / "log"):
        peer = archives.Server("PACS", 11777)
        dimse(peer, certificates, tls=tls, unencrypted=False).echo()
        with pytest.raises(ArchiveUnreachable):
            dimse(peer, certificates, tls=tls | {"ca": "other.pem"}, unencrypted=False).echo()


def test_dicomweb_over_tls_with_a_secret(secure, images, certificates, folder):
    secret = certificates / "pacs.token"
    secret.write_text(requests.auth._basic_auth_str("silo", "secret"))
    secret.chmod(0o600)
    with relay(secure, {}, certificates) as server:

        def archive(**more):
            endpoint = {"url": f"{server.url}/dicom-web", "ca": "ca.pem", "authorization_file": "pacs.token", **more}
            return DicomWebArchive(DicomWeb(**endpoint), certificates, LARGE)

        assert Pull(archive(), query(), folder).run().images == len(images.plain)
        for wrong, code in (
            ({"ca": "other.pem"}, "archive.tls"),
            ({"authorization_file": None}, "archive.denied"),
            ({"ca": "none.pem"}, "archive.certificate"),
            ({"authorization_file": "none"}, "archive.certificate"),
        ):
            with pytest.raises(ImagingError) as caught:
                archive(**wrong).echo()
            assert caught.value.code == code
        secret.chmod(0o640)
        with pytest.raises(ImagingError) as caught:
            archive()
        assert caught.value.code == "archive.secret"


def test_a_redirect_is_not_followed(proxy):
    server, lost = proxy
    lost["moved"] = "elsewhere"
    with pytest.raises(ImagingError) as caught:
        web(server).echo()
    assert caught.value.code == "archive.redirect"


def test_an_archive_that_is_not_there_or_rejects_us_is_named(orthanc):
    with pytest.raises(ArchiveUnreachable):
        dimse(archives.Server("X", 14999)).echo()
    with pytest.raises(ArchiveUnreachable):
        web(archives.Server("X", 1, "http://localhost:14999")).echo()
    with pytest.raises(ImagingError) as caught:
        dimse(archives.Server("WRONG", orthanc.port)).echo()
    assert caught.value.code == "archive.rejected"
    with pytest.raises(ImagingError) as caught:
        web(archives.Server("X", 1, f"{orthanc.url}/nowhere")).echo()
    assert caught.value.code == "archive.refused"


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from tests.imaging.sources.real_servers import Pull, archives, dimse, query, web
server = archives.Server("ORTHANC", 14242, "http://localhost:18042")
archive = {"web": web, "get": dimse}[sys.argv[1]](server)
die = lambda done, series, fetched: fetched == 5 and os.kill(os.getpid(), signal.SIGKILL)
Pull(archive, query(), Path(sys.argv[2]), die).run()
"""


@pytest.mark.parametrize("way", ["web", pytest.param("get", marks=pytest.mark.slow)])
def test_a_killed_pull_goes_on(way, orthanc, images, folder):
    ended = subprocess.run([sys.executable, "-c", KILLED, way, folder], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(pixels(folder)) == 5
    torn = next(folder.rglob("*.dcm")).parent / ".torn"
    torn.write_bytes(b"half")
    summary = Pull({"web": web, "get": dimse}[way](orthanc), query(), folder).run()
    assert (summary.images, summary.fetched) == (13, 8)
    assert pixels(folder) == sent(images.mixed + images.plain)
    assert not torn.exists()


@contextlib.contextmanager
def relay(orthanc, lost, certificates=None):
    """An HTTP server before Orthanc that loses what `lost` names: `series` cuts it out of the answer for the whole
    series, `single` answers 404 for the image alone, `torn` cuts the answer for the series in the middle, `moved`
    redirects. With certificates it speaks HTTPS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            headers = {name: self.headers[name] for name in ("Accept", "Authorization") if name in self.headers}
            answer = requests.get(orthanc.url + self.path, headers=headers, timeout=20)
            body, status, kind = answer.content, answer.status_code, answer.headers.get("Content-Type", "text/plain")
            whole_series = self.path.rpartition("/")[0].endswith("/series") and "multipart" in kind
            if whole_series and "series" in lost:
                marker = b"--" + multipart.boundary(kind)
                body = marker.join(part for part in body.split(marker) if lost["series"].encode() not in part)
            if whole_series and "torn" in lost:
                body = body[: len(body) // 2]
            if "single" in lost and self.path.endswith(lost["single"]):
                status, body = 404, b"{}"
            self.send_response(302 if "moved" in lost else status)
            if "moved" in lost:
                self.send_header("Location", orthanc.url + self.path)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield archives.Server("X", 1, f"http{'s' if certificates else ''}://localhost:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(orthanc):
    lost: dict[str, str] = {}
    with relay(orthanc, lost) as server:
        yield server, lost


@pytest.mark.parametrize("how", ["series", "torn"])
def test_what_a_whole_series_lacks_is_fetched_one_by_one(proxy, images, folder, how):
    server, lost = proxy
    lost[how] = images.mixed[2].stem
    summary = Pull(web(server), query(patients=("MIXED",)), folder).run()
    assert summary.images == len(images.mixed)
    assert pixels(folder) == sent(images.mixed)


def test_an_image_that_does_not_come_is_named_and_fetched_later(proxy, images, folder):
    server, lost = proxy
    lost["series"] = lost["single"] = images.mixed[2].stem
    with pytest.raises(ImagingError) as caught:
        Pull(web(server), query(patients=("MIXED",)), folder).run()
    assert caught.value.code == "pull.incomplete"
    assert "1 of 8 images, of 1 of 1 series (series 1: " in str(caught.value)
    assert images.mixed[2].stem not in str(caught.value)
    assert len(pixels(folder)) == len(images.mixed) - 1
    with (folder / "missing.csv").open() as file:
        assert [row["instance"] for row in csv.DictReader(file)] == [images.mixed[2].stem]
    assert (folder / "missing.csv").stat().st_mode & 0o777 == 0o600
    lost.clear()
    summary = Pull(web(server), query(patients=("MIXED",)), folder).run()
    assert (summary.images, summary.fetched) == (8, 1)
    assert not (folder / "missing.csv").exists()


def test_an_image_above_the_limit_ends_the_pull(orthanc, folder):
    archive = DicomWebArchive(DicomWeb(url=f"{orthanc.url}/dicom-web", unencrypted=True), Path(), 1000)
    small = query(patients=("PLAIN",))
    with pytest.raises(ImagingError) as caught:
        Pull(archive, small, folder).run()
    assert caught.value.code == "pull.too_large"
    assert not list(folder.rglob("*.dcm"))


@pytest.mark.slow
def test_a_disk_that_refuses_ends_a_fetch_of_either_kind(orthanc, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for archive in (web(orthanc), dimse(orthanc), dimse(orthanc, **MOVE)):
        with pytest.raises(ImagingError) as caught:
            Pull(archive, query(), folder).run()
        assert caught.value.code == "pull.storage"
        assert not list(folder.rglob("*.dcm"))
        assert not list(folder.glob("dicom/*/.*"))


def test_the_commands(orthanc, images, tmp_path):
    pacs, wanted, folder = tmp_path / "pacs.yaml", tmp_path / "query.yaml", tmp_path / "incoming"
    web_too = {"dicomweb": {"url": f"{orthanc.url}/dicom-web", "unencrypted": True}}
    named = {"host": "127.0.0.1", "port": 14242, "called_ae": "ORTHANC", "calling_ae": "SILO", "unencrypted": True}
    pacs.write_text(json.dumps({"format": "collegium-archive/1", "dimse": named}))
    assert commands.run("silo", "pacs", "echo", "--pacs", pacs, "--json").well().data()["archive"] == "answers"
    pacs.write_text(json.dumps({"format": "collegium-archive/1", **web_too}))
    wanted.write_text(json.dumps({**PLAIN, "patients": ["PLAIN"]}))
    pull = ("silo", "pull", "--pacs", pacs, "--query", wanted, "-o", folder, "--json")
    assert commands.run(*pull).well().data()["images"] == len(images.plain)
    assert (folder.stat().st_mode & 0o777) == 0o700
    pacs.write_text(pacs.read_text().replace("18042", "14999"))
    ended = commands.run("silo", "pacs", "echo", "--pacs", pacs)
    ended.refused(Unreachable, "archive.unreachable", "check host")
