"""What images are made of: locked wheels, files that a context has, and for the aggregator what it reaches."""

import hashlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
import zipfile
from pathlib import Path

import pytest

from deploy.containers import health
from deploy.containers.program import PROGRAMS, reachable
from deploy.containers.rootfs import USER
from deploy.release import wheelhouse
from privacy.operations.endpoint import Endpoint
from tests.docs.pages import ROOT

FOLDER = ROOT / "deploy" / "containers"
LOCKED = re.compile(r"([a-z0-9._-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(image: str) -> dict[str, str]:
    lines = (wheelhouse.LOCKS / f"{image}.txt").read_text().splitlines()
    return {normal(match[1]): match[2] for line in lines if (match := LOCKED.fullmatch(line)) or pytest.fail(line)}


@pytest.mark.parametrize("image", wheelhouse.IMAGES)
def test_every_wheel_is_locked_in_the_version_that_is_tested(image: str) -> None:
    pinned = dict(re.findall(r"^([^#=\s]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    tested = {normal(name): version for name, version in pinned.items()}
    assert {name: version.removesuffix("+cpu") for name, version in locked(image).items()}.items() <= tested.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for extra in wheelhouse.IMAGES[image] for one in extras[extra])]
    assert {normal(re.split(r"[<>=]", one)[0]) for one in wanted} <= set(locked(image))


def test_nothing_that_trains_decrypts_or_reads_images_is_in_the_aggregators_lock() -> None:
    assert {"torch", "monai", "opacus", "pydicom", "tenseal"} <= set(locked("silo")) - set(locked("aggregator"))


def aggregators() -> set[str]:
    """The modules that its image gets."""
    names = (path.relative_to(ROOT).with_suffix("").as_posix() for path in reachable(ROOT, "aggregator/app.py"))
    return {name.removesuffix("/__init__").replace("/", ".") for name in names}


def test_the_aggregators_image_gets_nothing_that_opens_or_trains() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (blind,) = [one["forbidden_modules"] for one in contracts if one["name"].startswith("the aggregator is blind")]
    assert "privacy.he.keyholder" in blind
    names = aggregators()
    assert {"aggregator.app", "aggregator.operations.doctor", "privacy.he.adder"} <= names
    assert not [name for name in names for module in blind if f"{name}.".startswith(f"{module}.")]


@pytest.mark.slow
def test_the_aggregators_image_gets_what_its_modules_import() -> None:
    script = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*(n for n in sys.modules if n.split('.')[0] in ('aggregator', 'privacy')))"
    )
    names = aggregators()
    told = subprocess.run([sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == names


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_dockerfile_fetches_nothing_and_ends_without_tools(program: str) -> None:
    text = (FOLDER / f"{program}.Dockerfile").read_text()
    last = text.split("FROM scratch")[1]
    assert re.search(r"^ARG BASE$", text, re.MULTILINE), "the base has no default"
    assert "--no-index" in text
    assert "--require-hashes" in text
    assert f"USER {USER}:{USER}" in last
    assert not re.search(r"^RUN|^ADD|https?://|apt|curl", last, re.MULTILINE)
    assert not re.search(r"^ADD|https?://|apt-get|curl|wget", text, re.MULTILINE)
    for line in re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK .*?CMD) (.*)$", last, re.MULTILINE):
        assert line.startswith("["), "a shell would be needed"
    for name in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((FOLDER / part).is_file() for part in name.split())


def test_both_dockerfiles_differ_in_the_program_alone() -> None:
    silo, other = ((FOLDER / f"{program}.Dockerfile").read_text() for program in ("silo", "aggregator"))
    made = [text.split("FROM scratch")[0].split("ARG BASE")[1] for text in (silo, other)]
    assert made[0].replace("silo", "aggregator") == made[1]


def test_health_is_what_livez_says(tmp_path: Path) -> None:
    path = tmp_path / "watch.sock"
    assert not health.healthy(str(path))
    endpoint = Endpoint(f"unix:{path}", lambda: "", lambda: ["everything"])
    assert health.healthy(str(path))
    assert not health.healthy(str(path), "/readyz")
    endpoint.close()
    assert not health.healthy(str(path))


def test_another_answer_is_not_health(tmp_path: Path) -> None:
    path = str(tmp_path / "watch.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.0 503 Service Unavailable\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert not health.healthy(path)
        thread.join()


@pytest.mark.slow
def test_the_same_commit_gives_the_same_wheel(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        wheel = wheelhouse.build(tmp_path / name)
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert {"aggregator/app.py", "privacy/wire/collegium_pb2.py"} < set(zipfile.ZipFile(wheel).namelist())
    shutil.rmtree(tmp_path / "one")
