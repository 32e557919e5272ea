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
from privacy import durable
from privacy.channel import renewal
from privacy.channel.identity import Identity
from tests.docs.pages import ROOT, block, blocks

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Walk:
    """One folder in which all parties' commands run; what is said of st-marys is done for every hospital."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.started: list[subprocess.Popen[bytes]] = []

    def script(self, page: str, heading: str, hospital: str = "st-marys") -> str:
        text = block(page, heading).text
        if hospital == "lakeside":
            text = text.replace("lakeside", "@").replace("st-marys", "lakeside").replace("@", "st-marys")
            text = text.replace("archive/", "archive-lakeside/")
        return text.replace("0.0.0.0:8443", f"127.0.0.1:{self.port}").replace(":8443", f":{self.port}")

    def run(self, page: str, heading: str, hospital: str = "st-marys", said: str = "") -> str:
        script = "set -e\n" + self.script(page, heading, hospital)
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=ENVIRONMENT, input=said, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{heading}: {done.stderr or done.stdout}"
        return done.stdout

    def both(self, page: str, heading: str, said: str = "") -> None:
        for hospital in HOSPITALS:
            self.run(page, heading, hospital, said)

    def start(self, page: str, heading: str, hospital: str = "st-marys") -> subprocess.Popen[bytes]:
        script = f"exec {self.script(page, heading, hospital)}"
        process = subprocess.Popen(["bash", "-c", script], cwd=self.folder, env=ENVIRONMENT, start_new_session=True)
        self.started.append(process)
        return process

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
    durable.create(walk.folder / "passphrase.txt", b"correct horse battery staple\n")
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
    assert [silo.wait(300) for silo in silos] == [0, 0]
    assert "verified" in walk.run(OPERATOR, "Back it up")
    walk.run(OPERATOR, "Put a backup back")
    assert (walk.folder / "restored/identity/identity.key").exists()
    assert (walk.folder / "restored/backup.json").exists()
    walk.run(HOSPITAL, "Take the model")
    looked = walk.run(HOSPITAL, "Read and check the ledger")
    assert "exported" in looked
    assert "all is as it was written" in looked
    assert (walk.folder / "model/model.safetensors").stat().st_size > 6000 * 4
    walk.run(OFFICER, "Collect the evidence")
    walk.run(OFFICER, "Write the report")
    assert (walk.folder / "report/report.html").exists()
    assert "report on chest-opacity, digest" in walk.run(OFFICER, "Have it entered in the ledger")
    assert "FAILED" not in walk.run(OFFICER, "Verify it")
    ask_for_renewal(walk.folder)
    walk.run(OPERATOR, "Renew a certificate")
    assert "st-marys: key-compromise" in walk.run(OPERATOR, "Revoke a member")


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
