"""Whom a client speaks to: TLS on either side, a secret, a redirect, and archives that are not there."""

import pytest
import requests

from imaging.errors import ImagingError
from imaging.sources.archive import DicomWeb
from imaging.sources.dicomweb import DicomWebArchive
from imaging.sources.errors import ArchiveUnreachable
from imaging.sources.pulling import Pull
from tests.imaging.sources.real_archives import servers
from tests.imaging.sources.real_archives.clients import LARGE, dimse, query, web
from tests.imaging.sources.real_archives.losing_proxy import relay


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
    with servers.running(command, 11777, tmp_path / "log"):
        peer = servers.Server("PACS", 11777)
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
        dimse(servers.Server("X", 14999)).echo()
    with pytest.raises(ArchiveUnreachable):
        web(servers.Server("X", 1, "http://localhost:14999")).echo()
    with pytest.raises(ImagingError) as caught:
        dimse(servers.Server("WRONG", orthanc.port)).echo()
    assert caught.value.code == "archive.rejected"
    with pytest.raises(ImagingError) as caught:
        web(servers.Server("X", 1, f"{orthanc.url}/nowhere")).echo()
    assert caught.value.code == "archive.refused"
