import pytest
from pydantic import ValidationError

from imaging.sources.archive import ArchiveFile, DicomWeb, Dimse

TLS = {"ca": "ca.pem", "certificate": "silo.pem", "key": "silo.key"}
DIMSE = {"host": "pacs", "port": 104, "called_ae": "PACS", "calling_ae": "SILO", "tls": TLS}


@pytest.mark.parametrize(
    "change",
    [
        {"tls": None},
        {"unencrypted": True},
        {"retrieve": "move"},
        {"retrieve": "move", "move_port": 104},
        {"move_host": "127.0.0.1", "move_port": 104},
        {"retrieve": "store"},
        {"port": 0},
        {"port": "104"},
        {"called_ae": "LONGER THAN ANY TITLE"},
        {"called_ae": ""},
        {"password": "secret"},
    ],
)
def test_what_is_no_dimse_archive_is_refused(change):
    assert Dimse.model_validate(DIMSE).tls is not None
    with pytest.raises(ValidationError):
        Dimse.model_validate({**DIMSE, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://pacs/dicom-web"},
        {"url": "https://user:secret@pacs/dicom-web"},
        {"url": "https://pacs/dicom-web?x=y"},
        {"url": "file:///etc"},
        {"url": "https:///dicom-web"},
        {"unencrypted": True},
        {"certificate": "silo.pem"},
        {"authorization": "Bearer secret"},
    ],
)
def test_what_is_no_dicomweb_archive_is_refused(change):
    plain = {"url": "https://pacs/dicom-web"}
    assert DicomWeb.model_validate(plain).unencrypted is False
    assert DicomWeb.model_validate({"url": "http://pacs/dicom-web", "unencrypted": True}).unencrypted
    with pytest.raises(ValidationError):
        DicomWeb.model_validate({**plain, **change})


def test_a_file_names_one_archive():
    for named in ({}, {"dimse": DIMSE, "dicomweb": {"url": "https://pacs"}}):
        with pytest.raises(ValidationError):
            ArchiveFile.model_validate({"format": "collegium-archive/1", **named})
