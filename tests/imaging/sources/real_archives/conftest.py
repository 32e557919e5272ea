"""The archives, each started once with what is stored in it, and a folder to pull into."""

import subprocess

import pytest
import requests

from tests.imaging.sources.real_archives import servers
from tests.imaging.sources.real_archives.losing_proxy import relay
from tests.imaging.sources.real_archives.stored import Archive


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return Archive(tmp_path_factory.mktemp("made") / "images")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return servers.certify(tmp_path_factory.mktemp("pki") / "pki")


def post(server, paths, **how):
    for path in paths:
        requests.post(f"{server.url}/instances", data=path.read_bytes(), timeout=10, **how).raise_for_status()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory, images):
    with servers.orthanc(tmp_path_factory.mktemp("server") / "orthanc", 14242, 18042) as server:
        post(server, images.files())
        yield server


@pytest.fixture(scope="session")
def secure(tmp_path_factory, images, certificates):
    folder = tmp_path_factory.mktemp("server") / "secure"
    with servers.orthanc(folder, 14243, 18043, certificates) as server:
        post(server, images.plain, auth=("silo", "secret"))
        yield server


@pytest.fixture(scope="session")
def dcmqr(tmp_path_factory, images):
    with servers.dcmqrscp(tmp_path_factory.mktemp("server") / "dcmqr", 11115) as server:
        send = ["storescu", "-aet", "SILO", "-aec", "DCMQR", "-xe", "127.0.0.1", "11115"]
        subprocess.run([*send, *map(str, images.plain + images.ct)], check=True, capture_output=True)
        yield server


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pulled").mkdir(mode=0o700)
    return tmp_path / "pulled"


@pytest.fixture
def proxy(orthanc):
    lost: dict[str, str] = {}
    with relay(orthanc, lost) as server:
        yield server, lost
