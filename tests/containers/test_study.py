"""An aggregator and three silos in locked-down containers train together, and go on after kill -9.

They see one network, which has loopback alone. The consortium's authority is no container: it is offline and on paper.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.sandbox import draft, phantom
from deploy.sandbox.phantom import SiloPlan
from deploy.sandbox.scanner import SCANNERS
from tests.containers.conftest import Table
from tests.containers.engine import Engine, Mount
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow

SILOS = ("north", "harbour", "hill")
USER = 10001
AGGREGATOR = "collegium-test-aggregator"
ADDRESS = "localhost:8443"
WATCH = ("--watch-at", "unix:/tmp/watch.sock", "--log-json")
PYTHON = "/opt/collegium/bin/python3"


class Hall:
    """All parties of a study: what lies on the host, and the containers that see a part of it."""

    def __init__(self, engine: Engine, folder: Path, memory: Path) -> None:
        self.engine, self.folder, self.memory = engine, folder, memory
        self.paper = folder / "paper"

    def ca(self, *arguments: str) -> None:
        """Run a command of the consortium's authority on the host; papers are handed to the containers' user."""
        program = Path(sys.executable).parent / "collegium-consortium"
        done = subprocess.run([program, *arguments], cwd=self.paper, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        own(self.paper)

    def mounts(self, name: str) -> list[Mount]:
        """What a party's containers see: its state, and papers and images that they cannot change."""
        mounts = [Mount(self.folder / name, "/state", writable=True), Mount(self.paper, "/paper")]
        if name in SILOS:
            mounts += [Mount(self.folder / "data" / name, "/data"), Mount(self.memory / name, "/run/collegium", True)]
        return mounts

    def once(self, name: str, *arguments: str) -> str:
        """Run a party's command in a container of its own."""
        image = "collegium-silo" if name in SILOS else "collegium-aggregator"
        return self.engine.once(image, (*arguments, "--state", "/state"), self.mounts(name))

    def backed_up(self, name: str) -> Path:
        """Copy the aggregator's state while it serves, as the operator's guide says."""
        copies = self.folder / "copies"
        copies.mkdir(mode=0o700)
        os.chown(copies, USER, USER)
        mounts = [*self.mounts(name), Mount(copies, "/copies", writable=True)]
        for arguments in (("--state", "/state", "--to", "/copies/first"), ("--check", "/copies/first")):
            self.engine.once("collegium-aggregator", ("backup", *arguments), mounts)
        return copies / "first"

    def start(self, name: str) -> str:
        """Start a party's service; its container's name."""
        if name in SILOS:
            arguments = (
                "run",
                "--aggregator",
                ADDRESS,
                "--runtime",
                "/run/collegium",
                "--progress-json",
                "/state/progress",
            )
            self.engine.start(
                f"collegium-test-{name}", "collegium-silo", (*arguments, "--state", "/state", *WATCH), self.mounts(name)
            )
            return f"collegium-test-{name}"
        arguments = (
            "serve",
            "--study",
            "/paper/study.yaml",
            "--roster-statement",
            "/paper/roster.json",
            "--listen",
            "127.0.0.1:8443",
        )
        self.engine.start(
            AGGREGATOR, "collegium-aggregator", (*arguments, "--state", "/state", *WATCH), self.mounts(name)
        )
        return AGGREGATOR

    def progress(self, name: str) -> list[dict[str, object]]:
        """What a silo said so far."""
        path = self.folder / name / "progress"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def closed(self, name: str) -> int:
        """The last round that a silo closed."""
        return max((int(str(one["round"])) for one in self.progress(name) if one["event"] == "round_closed"), default=0)


def own(folder: Path) -> None:
    """Give a folder to the containers' user."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)


@pytest.fixture
def hall(engine: Engine, images: tuple[str, ...], tmp_path: Path) -> Iterator[Hall]:
    memory = Path("/dev/shm") / f"collegium-test-{os.getpid()}"
    made = Hall(engine, tmp_path, memory)
    for folder in (made.paper, *(tmp_path / name for name in ("adder", *SILOS)), *(memory / name for name in SILOS)):
        folder.mkdir(parents=True, mode=0o700)
        os.chown(folder, USER, USER)
    try:
        yield made
    finally:
        shutil.rmtree(memory)


def wait(until, seconds: float, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{what}: not after {seconds} s"
        time.sleep(0.3)


def enrolled(hall: Hall) -> None:
    """From nothing to an approved study, each party's commands in its containers."""
    content = draft.make(ROOT / "deploy/samples/study.yaml", SILOS, draft.Choices(rounds=3))
    content["privacy"]["lot_size"] = 10
    (hall.paper / "draft.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    hall.ca("init", "../authority", "--name", draft.CONSORTIUM, "--plain-keys")
    for number, name in enumerate(SILOS):
        phantom.make(SiloPlan(name, 60, 0.5, SCANNERS[number]), hall.folder / "data" / name, seed=number)
    own(hall.folder / "data")
    for name in ("adder", *SILOS):
        role = "silo" if name in SILOS else "aggregator"
        host = () if name in SILOS else ("--host", "localhost")
        hall.ca("token", role, name, "--dir", "../authority", "-o", f"{name}.token")
        who = ("--name", name, "--consortium", draft.CONSORTIUM, *host)
        hall.once(name, "init", *who, "--token-file", f"/paper/{name}.token", "-o", "/state/request.json")
        shutil.copy(hall.folder / name / "request.json", hall.paper / f"{name}.request.json")
        hall.ca("admit", f"{name}.request.json", "--dir", "../authority", "-o", f"{name}.admission.json")
        hall.once(name, "enrol", f"/paper/{name}.admission.json")
    hall.ca("study", "sign", "draft.yaml", "--dir", "../authority", "-o", "study.yaml")
    hall.ca("roster-statement", "--dir", "../authority", "-o", "roster.json")
    for name in SILOS:
        hall.once(name, "ingest", "/data/dicom", "--labels", "/data/labels.csv", "--cohort", draft.COHORT)
        (hall.folder / name / "silo.yaml").write_text(yaml.safe_dump(draft.policy(content)))
        confirmed = [part for other in SILOS if other != name for part in ("--confirm", f"{other}=test")]
        hall.once(name, "approve", "/paper/study.yaml", "--cohort", draft.COHORT, "--by", "Test", *confirmed, "--yes")


def test_three_silos_train_locked_down_and_go_on_after_being_killed(hall: Hall, table: Table) -> None:
    engine = hall.engine
    began = time.monotonic()
    enrolled(hall)
    table.add("enrolled, ingested, approved, in containers", f"{4 * len(SILOS) + 2} runs", time.monotonic() - began)
    began = time.monotonic()
    server = hall.start("adder")
    wait(lambda: engine.healthy(server), 120, "health of the aggregator")
    table.add("aggregator, from start to healthy", "/livez answers", time.monotonic() - began)
    names = {name: hall.start(name) for name in SILOS}

    for container, said in ((server, "aggregator"), (names["north"], "silo")):
        status = proc(engine, container)
        assert status["Uid"].split() == [str(USER)] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        table.add(f"{said}: uid, capabilities, new privileges, seccomp", f"{USER}, none, never, filtered")
    wait(lambda: engine.healthy(names["north"]), 120, "health of a silo")

    wait(lambda: hall.closed("north") >= 1, 600, "first round")
    engine.podman("kill", "--signal", "KILL", server)
    engine.podman("kill", "--signal", "KILL", names["hill"])
    assert engine.state(server)["ExitCode"] == engine.state(names["hill"])["ExitCode"] == 137
    before = hall.closed("hill")
    engine.podman("start", server)
    engine.podman("start", names["hill"])
    killed = time.monotonic()
    wait(lambda: engine.healthy(server), 120, "health of the restarted aggregator")
    table.add("killed and started again: aggregator healthy", "same state volume", time.monotonic() - killed)
    codes = {name: int(engine.podman("wait", container)) for name, container in names.items()}
    assert codes == dict.fromkeys(SILOS, 0), {name: engine.podman("logs", names[name]) for name in SILOS if codes[name]}
    assert hall.closed("hill") > before
    assert {hall.progress(name)[-1]["event"] for name in SILOS} == {"finished"}
    table.add("3 silos, 3 rounds, 2 containers killed", "all finished", time.monotonic() - began)

    began = time.monotonic()
    copied = hall.backed_up("adder")
    assert not list(copied.rglob("*.key")), "a backup has no key"
    table.add("backup from a second container, while it serves", "verified", time.monotonic() - began)
    engine.podman("stop", "--time", "10", server)
    assert engine.state(server)["ExitCode"] == 0
    for name in SILOS:
        assert "all is as it was written" in hall.once(name, "ledger", "fsck")
        hall.once(name, "export", "-o", "/state/model")
    weights = {(hall.folder / name / "model" / "model.safetensors").read_bytes() for name in SILOS}
    assert len(weights) == 1
    table.add("model at three silos", "the same bytes")


@pytest.mark.parametrize("image", ["collegium-aggregator", "collegium-silo"])
def test_nothing_but_the_state_can_be_written_or_run(
    engine: Engine, images: tuple[str, ...], tmp_path: Path, image: str, table: Table
) -> None:
    state, data = tmp_path / "state", tmp_path / "data"
    for folder in (state, data):
        folder.mkdir()
        os.chown(folder, USER, USER)
    program = """
import errno, os, pathlib, shutil
found = {}
for place in ('/', '/opt/collegium', '/etc', '/data', '/state', '/tmp'):
    try:
        path = pathlib.Path(place, 'x')
        path.write_text('#!/opt/collegium/bin/python3')
        found[place] = 'written'
        path.chmod(0o700)
        os.execv(path, [path])
    except OSError as error:
        found[place] = found.get(place, '') + errno.errorcode[error.errno]
print(found)
"""
    said = engine.once(image, ("-c", program), [Mount(state, "/state", True), Mount(data, "/data")], PYTHON)
    refused = dict.fromkeys(("/", "/opt/collegium", "/etc", "/data"), "EROFS")
    assert said == str(refused | dict.fromkeys(("/state", "/tmp"), "writtenEACCES"))
    table.add(f"{image}: write to /, /opt, /etc, /data", "refused (read-only)")
    table.add(f"{image}: run a file in /state, /tmp", "refused (noexec)")


def proc(engine: Engine, container: str) -> dict[str, str]:
    """The kernel's word on the container's first process."""
    lines = Path(f"/proc/{engine.state(container)['Pid']}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
