"""Runs the commands of the guides, in the order in which people would, with made data."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from deploy.sandbox import phantom
from deploy.sandbox.phantom import SiloPlan
from deploy.sandbox.scanner import SCANNERS
from privacy.channel import renewal
from privacy.channel.identity import Identity
from tests.docs.pages import ROOT, block, blocks
from tests.e2e.processes import wait
from tests.terminal import on_a_terminal

OPERATOR = "docs/how-to/consortium-operator.md"
HOSPITAL = "docs/how-to/hospital-it.md"
OFFICER = "docs/how-to/compliance-officer.md"
RESEARCHER = "docs/how-to/researcher.md"
HOSPITALS = ("st-marys", "lakeside")
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
    "COLLEGIUM_PASSPHRASE_FILE": "passphrase.txt",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


class Walk:
    """One folder in which all parties' commands run; what is said of st-marys is done for every hospital."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: set[tuple[str, str, int]] = set()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.started: list[subprocess.Popen[bytes]] = []

    def script(self, page: str, heading: str, hospital: str = "st-marys", number: int = 0) -> str:
        self.done.add((page, heading, number))
        text = block(page, heading, number).text
        if hospital == "lakeside":
            text = text.replace("lakeside", "@").replace("st-marys", "lakeside").replace("@", "st-marys")
            text = text.replace("archive/", "archive-lakeside/")
        return text.replace("0.0.0.0:8443", f"127.0.0.1:{self.port}").replace(":8443", f":{self.port}")

    def run(
        self, page: str, heading: str, hospital: str = "st-marys", said: str = "", number: int = 0, code: int = 0
    ) -> str:
        script = "set -e\n" + self.script(page, heading, hospital, number)
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=ENVIRONMENT, input=said, capture_output=True, text=True
        )
        assert done.returncode == code, f"{heading}: {done.stderr or done.stdout}"
        return done.stdout

    def typed(self, page: str, heading: str, answers: tuple[str, ...], number: int = 0) -> str:
        """What a command shows that asks on a terminal."""
        script = "set -e\n" + self.script(page, heading, number=number)
        code, shown = on_a_terminal(["bash", "-c", script], answers, self.folder, ENVIRONMENT)
        assert code == 0, f"{heading}: {shown}"
        return shown

    def both(self, page: str, heading: str, said: str = "") -> None:
        for hospital in HOSPITALS:
            self.run(page, heading, hospital, said)

    def start(self, page: str, heading: str, hospital: str = "st-marys") -> subprocess.Popen[bytes]:
        script = f"exec {self.script(page, heading, hospital)}"
        # What runs in the background of a script ignores SIGINT, and so would the command: a handler is not inherited.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with (self.folder / f"{heading}.out").open("ab") as out:
                process = subprocess.Popen(
                    ["bash", "-c", script], cwd=self.folder, env=ENVIRONMENT, stdout=out, start_new_session=True
                )
        finally:
            signal.signal(signal.SIGINT, before)
        self.started.append(process)
        return process

    def watched(self, page: str, heading: str) -> str:
        """What a command shows that goes on until Ctrl-C."""
        process, shown = self.start(page, heading), self.folder / f"{heading}.out"
        wait(lambda: shown.read_text().endswith("\n"), process)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        return shown.read_text()

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    made = Walk(tmp_path)
    yield made
    made.end()


ENDING, STOP, REVOKE, CLOSE, DECOMMISSION = "Stop, take back, end", 0, 1, 2, 3
ELSEWHERE = {
    (OPERATOR, "With its keys in a token", 0),
    (OPERATOR, "Run it in a container", 0),
    (OPERATOR, "From a container", 0),
    (HOSPITAL, "With keys in a token", 0),
    (HOSPITAL, "Fetch images from the PACS", 0),
    (HOSPITAL, "Run it in a container", 0),
    (HOSPITAL, "Run it in a container", 1),
    (OFFICER, "Give it to others", 1),
}
"""What wants a token, an archive, a container engine or an audit record repository; each has tests of its own."""


def every_block(*pages: str) -> set[tuple[str, str, int]]:
    """All bash blocks of pages, as `Walk.done` names them."""
    found: list[tuple[str, str, int]] = []
    for page in pages:
        for heading in [part.heading for part in blocks(ROOT / page) if part.language == "bash"]:
            found.append((page, heading, sum((page, heading) == known[:2] for known in found)))
    return set(found)


def look_at_it_without_an_archive(walk: Walk) -> None:
    """All is well but the archive, which is none here."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = {"host": "localhost", "port": bound.getsockname()[1], "called_ae": "PACS", "calling_ae": "US"}
        archive = {"format": "collegium-archive/1", "dimse": {**where, "retrieve": "get", "unencrypted": True}}
        (walk.folder / "pacs.yaml").write_text(yaml.safe_dump(archive))
        said = walk.run(HOSPITAL, "When it does not work", code=75)
    assert [row for row in said.splitlines() if "FAILED" in row] == [row for row in said.splitlines() if "PACS" in row]


def ask_for_renewal(folder: Path) -> None:
    """As if two thirds of the certificate's life were over, and st-marys had asked for the next one."""
    identity = folder / "st-marys" / "identity"
    request = renewal.asked(identity, Identity.load(identity))
    pending, answers = (folder / "aggregator" / "renewals" / kind for kind in ("pending", "answers"))
    for made in (pending, answers):
        made.mkdir(parents=True, exist_ok=True)
    (pending / "st-marys.json").write_text(request.model_dump_json())


def test_the_guides_of_operator_hospital_and_officer(walk: Walk) -> None:
    for number, name in enumerate(("archive", "archive-lakeside")):
        phantom.make(SiloPlan(name, 60, 0.5, SCANNERS[number]), walk.folder / name, seed=number)
    draft = yaml.safe_load((ROOT / "deploy/samples/study.yaml").read_text())
    draft["roster"] |= {"steward": "st-marys", "silos": list(HOSPITALS)}
    draft["training"]["rounds"] = 2
    draft["privacy"]["lot_size"] = 10
    (walk.folder / "draft.yaml").write_text(yaml.safe_dump(draft))

    walk.run(OPERATOR, "Start a consortium")
    walk.run(OPERATOR, "Invite the members")
    token = walk.script(OPERATOR, "Invite the members", "lakeside").splitlines()[-1]
    subprocess.run(["bash", "-c", token], cwd=walk.folder, env=ENVIRONMENT, check=True)
    walk.run(OPERATOR, "Ask for the aggregator's admission")
    walk.both(HOSPITAL, "Ask for admission")
    walk.both(OPERATOR, "Admit the members")
    walk.run(OPERATOR, "Enrol the aggregator")
    walk.both(HOSPITAL, "Enrol")
    policy = next(part.text for part in blocks(ROOT / HOSPITAL) if part.language == "yaml")
    for hospital in HOSPITALS:
        (walk.folder / hospital / "silo.yaml").write_text(policy)
    walk.both(HOSPITAL, "Read the images")
    assert "nothing of them is sent" in walk.run(HOSPITAL, "Look at a cohort")
    assert (walk.folder / "look/index.html").exists()
    walk.run(HOSPITAL, "De-identify a folder")
    walk.run(HOSPITAL, "Review pixels")
    assert (walk.folder / "clean/review/index.html").exists()
    assert "accepted" in walk.run(HOSPITAL, "Decide on them")
    walk.run(OPERATOR, "Sign a study")
    assert "each of two silos" in walk.run(OPERATOR, "See what a study means")
    walk.run(HOSPITAL, "Preview a study")
    assert (walk.folder / "seen/sheet-0001.png").exists()
    walk.both(HOSPITAL, "Approve a study", said="y\n")
    walk.run(OPERATOR, "State who is revoked")
    assert "not that none can" in walk.run(HOSPITAL, "Audit the training code")
    walk.start(OPERATOR, "Serve it")
    silos = [walk.start(HOSPITAL, "Take part", hospital) for hospital in HOSPITALS]
    wait(lambda: (walk.folder / "st-marys/status.json").exists(), *silos)
    walk.run(HOSPITAL, ENDING, number=STOP)
    assert "opacity" in walk.watched(HOSPITAL, "Watch it")
    assert "opacity" in walk.watched(OPERATOR, "Watch the rounds")
    assert silos[0].wait(300) == 0, "it stopped, with a round to come"
    assert '"kind":"stopped"' in (walk.folder / "st-marys/ledger/entries.jsonl").read_text()
    assert "FAILED" not in walk.run(OPERATOR, "When it does not work")
    look_at_it_without_an_archive(walk)
    silos[0] = walk.start(HOSPITAL, "Take part")
    assert [silo.wait(300) for silo in silos] == [0, 0]
    assert "update" in walk.run(HOSPITAL, "See what left")
    assert "verified" in walk.run(OPERATOR, "Back it up")
    walk.run(OPERATOR, "Put a backup back")
    assert (walk.folder / "restored/identity/identity.key").exists()
    assert (walk.folder / "restored/backup.json").exists()
    walk.run(HOSPITAL, "Take the model")
    looked = walk.run(HOSPITAL, "Read and check the ledger")
    assert "exported" in looked
    assert "all is as it was written" in looked
    walk.run(HOSPITAL, "Read and check the ledger", number=1)
    assert (walk.folder / "entry-0.tlog-proof").exists()
    assert "6" in walk.run(HOSPITAL, "Set a budget")
    assert "horse" not in walk.typed(HOSPITAL, "Set a budget", ("correct horse battery",) * 2, number=1)
    assert (walk.folder / "officer.key").exists()
    assert (walk.folder / "model/model.safetensors").stat().st_size > 6000 * 4
    walk.run(OFFICER, "Collect the evidence")
    walk.run(OFFICER, "Write the report")
    assert (walk.folder / "report/report.html").exists()
    assert "report on chest-opacity, digest" in walk.run(OFFICER, "Have it entered in the ledger")
    walk.run(OFFICER, "Make a key of your own")
    assert "fingerprint of the key" in walk.run(OFFICER, "Sign it")
    verified = walk.run(OFFICER, "Verify it")
    assert "FAILED" not in verified
    assert "Ada Roe" in verified
    walk.run(OFFICER, "Give it to others")
    assert all(
        (walk.folder / name).stat().st_size for name in ("annex.md", "processing.csv", "opendp.json", "audit.xml")
    )
    walk.run(OFFICER, "Next time, name the last report")
    assert (walk.folder / "report-2/report.html").exists()
    ask_for_renewal(walk.folder)
    walk.run(OPERATOR, "Renew a certificate")
    assert "st-marys: key-compromise" in walk.run(OPERATOR, "Revoke a member")
    walk.run(HOSPITAL, ENDING, number=REVOKE)
    walk.run(HOSPITAL, ENDING, number=CLOSE)
    walk.run(HOSPITAL, ENDING, number=DECOMMISSION, said="st-marys\n")
    assert not list((walk.folder / "st-marys").rglob("*.key"))
    assert every_block(OPERATOR, HOSPITAL, OFFICER) - walk.done == ELSEWHERE


def test_the_guide_of_the_researcher(walk: Walk) -> None:
    walk.run(RESEARCHER, "Run the sample study")
    assert (walk.folder / "sandbox/summary.json").exists()
    walk.run(RESEARCHER, "Preview what the network sees")
    images = walk.folder / "my-images"
    images.mkdir()
    random = np.random.default_rng(0)
    rows = ["file,patient,label"]
    for patient in range(80):
        pixels = random.integers(0, 128, (70, 70), dtype=np.uint8) + 60 * (patient % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"{patient}.png")
        rows.append(f"{patient}.png,patient-{patient},{patient % 2}")
    (images / "manifest.csv").write_text("\n".join(rows) + "\n")
    shown = walk.run(RESEARCHER, "Use your own images")
    assert "80 images of 80 patients from my-images" in shown.replace("\n", " ")
