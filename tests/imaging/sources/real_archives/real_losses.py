"""What is lost on the way, or broken off, is fetched again or named."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dicomweb_client.web import DICOMwebClient
from pydicom import dcmread

from imaging.errors import ImagingError
from imaging.sources.archive import DicomWeb
from imaging.sources.dicomweb import DicomWebArchive
from imaging.sources.pulling import Pull
from tests.imaging.sources.real_archives.clients import MOVE, dimse, query, web
from tests.imaging.sources.real_archives.stored import pixels, sent


def test_the_default_accept_loses_a_part_of_a_mixed_series_in_silence(orthanc, images, folder):
    """The trap that `transfer-syntax=*` is for: an answer with status 200 and fewer images."""
    one = dcmread(images.mixed[0])
    naive = DICOMwebClient(f"{orthanc.url}/dicom-web")
    assert len(naive.retrieve_series(one.StudyInstanceUID, one.SeriesInstanceUID)) < len(images.mixed)
    summary = Pull(web(orthanc), query(patients=("MIXED",)), folder).run()
    assert (summary.series, summary.images, summary.left_out) == (1, len(images.mixed), 0)
    assert pixels(folder) == sent(images.mixed)


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


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from imaging.sources.pulling import Pull
from tests.imaging.sources.real_archives import servers
from tests.imaging.sources.real_archives.clients import dimse, query, web
server = servers.Server("ORTHANC", 14242, "http://localhost:18042")
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
