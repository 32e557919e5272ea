"""One whole study through the processes: one model, an export, a report, and no patient value anywhere else."""

import csv
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest

from imaging.export import LOADING_SNIPPET
from privacy.channel.parties import parties_of
from privacy.configuration import load
from privacy.ledger.heads.cosigned import verify
from privacy.ledger.heads.watch import file_stem
from privacy.study import SignedStudy, Study
from silo_node.rounds.global_model import GlobalModel
from tests.e2e import commands
from tests.e2e.scene import AGGREGATOR, SILOS, STUDY, Scene
from tests.e2e.state_folders import kinds, ledger, leftovers

pytestmark = pytest.mark.timeout(600)
ROUNDS = 3
"""Two that train, and the last one's metrics."""


@pytest.fixture(scope="module")
def study(finished: Scene) -> Study:
    return load(finished.study, SignedStudy).study


@pytest.fixture(scope="module")
def models(finished: Scene) -> list[GlobalModel]:
    return [GlobalModel.load(finished.state(silo) / "studies" / STUDY / "model") for silo in SILOS]


def test_all_silos_and_the_aggregator_end_with_one_chain_and_the_silos_with_one_model(
    finished: Scene, models: list[GlobalModel]
) -> None:
    first = models[0]
    for model in models:
        assert (model.round_number, model.chain) == (ROUNDS, first.chain)
        for name in ("weights", "average", "first", "second"):
            assert getattr(model.optimizer, name).tobytes() == getattr(first.optimizer, name).tobytes()
    chains = [
        [
            (entry.body["round"], entry.body["outcome"], entry.body["chain"])
            for entry in entries
            if entry.kind == "closed"
        ]
        for entries in (*(finished.entries(silo) for silo in SILOS), ledger(finished.aggregator))
    ]
    assert all(each == chains[0] for each in chains)
    assert chains[0][-1] == (ROUNDS, "closed", first.chain.hex())


def test_every_ledger_is_cosigned_by_all_other_parties(finished: Scene, study: Study) -> None:
    parties = parties_of(study)
    for owner in parties:
        name = owner.uri.rsplit("/", 1)[-1]
        folder = (finished.aggregator if name == AGGREGATOR else finished.state(name)) / "ledger"
        entries = ledger(folder.parent)
        last = next(entry.sequence for entry in reversed(entries) if entry.kind == "closed")
        for witness in parties:
            path = folder / "cosigned" / f"{file_stem(witness.uri)}.note"
            if witness == owner:
                assert not path.exists()
                continue
            head = verify(path.read_text(), path.with_suffix(".cosigner").read_bytes(), owner, witness).checkpoint
            assert head.size > last
            roots = [entry.previous for entry in entries]
            assert head.root.hex() == roots[head.size] if head.size < len(roots) else head.size == len(roots)
        key = folder.parent / "cosigner.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("silo", SILOS)
def test_a_ledger_has_the_whole_way_in_its_order(finished: Scene, silo: str) -> None:
    train = ["reserved", "spent", "survivors_signed", "closed", "witnessed"]
    assert kinds(finished.entries(silo)) == [
        *("enrolled", "cohort", "approved", "software", "key_granted"),
        *("round_opened", "release", *train),
        *("round_opened", *train),
        *("round_opened", "release", "survivors_signed", "closed", "witnessed"),
        *(["exported"] if silo == SILOS[0] else []),
    ]
    approved = next(entry for entry in finished.entries(silo) if entry.kind == "approved")
    events = [entry.body["event"] for entry in finished.entries(silo) if entry.kind == "reserved"]
    assert events == [entry.body["event"] for entry in finished.entries(silo) if entry.kind == "spent"]
    planned = approved.body["planned_event"]
    assert isinstance(planned, dict)
    assert [event | {"steps": 4} for event in events if isinstance(event, dict)] == [planned] * 2


def test_global_metrics_are_the_same_at_every_silo(finished: Scene) -> None:
    told = [
        [{**event, "time": 0} for event in finished.progress(silo) if event["event"] == "evaluated"] for silo in SILOS
    ]
    assert [event["after_round"] for event in told[0]] == [0, 2]
    assert told[1] == told[2] == told[0]
    held_out = 0
    for silo in SILOS:
        with (finished.data(silo) / "labels.csv").open(newline="") as file:
            held_out += sum(row["split"] == "test" for row in csv.DictReader(file))
    assert told[0][0]["patients"] == held_out


CHECK = """
import hashlib, sys
vector = torch.cat([weight.detach().reshape(-1) for weight in network.parameters()]).numpy()
with torch.no_grad():
    logit = network(torch.zeros(2, 1, 32, 32))
ours = {"aggregator", "compliance", "deploy", "imaging", "privacy", "silo_node"}
print(json.dumps([hashlib.sha256(vector.tobytes()).hexdigest(), list(logit.shape), sorted(ours & set(sys.modules))]))
"""


def test_the_export_loads_with_plain_monai_and_is_the_model_of_the_silos(
    finished: Scene, study: Study, models: list[GlobalModel]
) -> None:
    folder = finished.model(SILOS[0])
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "model.json",
        "card.json",
        "card.md",
        "bundle",
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADING_SNIPPET + CHECK],
        cwd=folder,
        env=commands.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    released = models[0].optimizer.released(study.aggregation).astype(np.float32)
    assert json.loads(done.stdout) == [hashlib.sha256(released.tobytes()).hexdigest(), [2, 1], []]
    card = json.loads((folder / "card.json").read_text())
    assert card["weights_sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    exported = finished.entries(SILOS[0])[-1]
    assert exported.body["model_digest"] == card["weights_sha256"]


class References(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}:
                self.loaded.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def test_the_report_is_one_page_that_needs_nothing_and_a_record_that_says_the_same(finished: Scene) -> None:
    page = (finished.root / "report" / "report.html").read_text(encoding="utf-8")
    references = References()
    references.feed(page)
    assert references.tags.isdisjoint({"script", "iframe", "object", "embed", "link", "base", "form"})
    assert references.handlers == []
    assert all(value.startswith(("#", "data:")) for value in references.loaded)
    assert re.findall(r"(?:url\(|@import)\s*['\"]?(?!['\"]?(?:#|data:))", page) == []
    record = json.loads((finished.root / "report" / "report.json").read_text(encoding="utf-8"))
    printed = next(ended for ended in commands.noted(finished.transcript) if "report" in ended.command).data()
    assert record == printed
    for silo in (*SILOS, AGGREGATOR):
        assert silo in page


def patient_values(scene: Scene) -> "re.Pattern[bytes]":
    """Everything in the archives that points to a person, as one pattern."""
    values: set[str] = set()
    dates: set[str] = set()
    for silo in SILOS:
        for path in scene.data(silo).glob("dicom/IM*.dcm"):
            image = pydicom.dcmread(path, stop_before_pixels=True)
            name = str(image.PatientName)
            values |= {name, name.replace("^", " "), image.PatientID, image.AccessionNumber, image.PatientAddress}
            values |= {image.SOPInstanceUID, image.StudyInstanceUID, image.SeriesInstanceUID}
            values |= {image.PatientTelephoneNumbers, str(image.ReferringPhysicianName), str(image.OperatorsName)}
            values |= {image.InstitutionAddress, str(image.DeviceSerialNumber)}
            dates |= {image.PatientBirthDate}
    assert len(values) > 100
    plain = any_of({str(value).encode() for value in values})
    alone = any_of({date.encode() for date in dates}) + rb"(?<![0-9a-fA-F].{8})(?![0-9a-fA-F])"
    assert {len(date) for date in dates} == {8}
    return re.compile(plain + b"|" + alone, re.DOTALL)


def any_of(words: set[bytes]) -> bytes:
    """A pattern of these words in which each byte is looked at once, not once a word."""
    ends = b"" in words
    following = [
        re.escape(first) + any_of({word[1:] for word in words if word.startswith(first)})
        for first in sorted({word[:1] for word in words if word})
    ]
    return b"(?:" + b"|".join(following) + (b")?" if ends else b")") if following else b""


def test_no_patient_value_is_anywhere_but_in_the_archives(finished: Scene) -> None:
    pattern = patient_values(finished)
    searched = 0
    for folder, names, files in os.walk(finished.root):
        if Path(folder) == finished.root:
            names.remove("data")
        for file in files:
            path = Path(folder) / file
            found = pattern.search(path.read_bytes())
            assert found is None, f"{path.relative_to(finished.root)} holds a patient value at byte {found.start()}"
            assert pattern.search(str(path.relative_to(finished.root)).encode()) is None
            searched += 1
    assert searched > 100
    archive = finished.data(SILOS[0])
    assert all(pattern.search(path.read_bytes()) for path in (*archive.glob("dicom/IM*.dcm"), archive / "labels.csv"))


def test_the_line_shows_nothing_but_tls(finished: Scene) -> None:
    wire = (finished.root / "wire").read_bytes()
    closed = [event for silo in SILOS for event in finished.progress(silo) if event["event"] == "round_closed"]
    sent = sum(event["upload_bytes"] for event in closed)
    assert len(wire) > sent > 0
    for plain in (b"spiffe", b"collegium", STUDY.encode(), b"BEGIN CERTIFICATE", *(silo.encode() for silo in SILOS)):
        assert plain not in wire
    assert b"\x16\x03" in wire[:100_000]


def test_what_the_processes_say_is_short_and_names_no_place_inside_a_cohort(finished: Scene) -> None:
    for silo in SILOS[:-1]:
        told = finished.log(silo).with_suffix(".err").read_text()
        assert re.fullmatch(rf"(?:{commands.TOLD}\n)+", told), told
        closed = re.findall(rf"^round \d+ of {ROUNDS}: closed with {len(SILOS)} silos, after ", told, re.MULTILINE)
        assert len(closed) == ROUNDS
        assert told.count("\n") <= 3 * ROUNDS + 10
        assert finished.log(silo).with_suffix(".out").read_text().count("\n") == 1
    events = [json.loads(line) for line in finished.log(SILOS[-1]).with_suffix(".err").read_text().splitlines()]
    assert [event["event"] for event in (events[0], events[-1])] == ["started", "finished"]
    assert {event["event"] for event in events} == {"started", "phase", "round_closed", "finished"}
    assert finished.log(SILOS[-1]).with_suffix(".out").read_text() == ""
    assert finished.log("serve").with_suffix(".err").read_text() == ""
    for ended in commands.noted(finished.transcript):
        assert ended.err == "", ended


def test_secrets_are_their_owners_alone(finished: Scene) -> None:
    secrets = [finished.consortium / name for name in ("ca.key", "study.key")]
    secrets += finished.paper.glob("*.token")
    for state in (*(finished.state(silo) for silo in SILOS), finished.aggregator):
        secrets += state.glob("identity/*.key")
        assert stat.S_IMODE((state / "identity").stat().st_mode) == 0o700
    for silo in SILOS:
        secrets += [finished.state(silo) / "pseudonym.key", finished.state(silo) / "studies" / STUDY / "key"]
        secrets += (finished.state(silo) / "cohorts").rglob("*.*")
        secrets += (path for path in (finished.state(silo) / "studies").rglob("*") if path.is_file())
    assert len(secrets) > 50
    for path in secrets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.relative_to(finished.root)


def test_nothing_is_left_behind(finished: Scene) -> None:
    for state in (*(finished.state(silo) for silo in SILOS), finished.aggregator, finished.consortium):
        assert leftovers(state) == []
    assert not list((finished.root / "silos").glob("*/studies/*/upload"))
    assert not list(finished.aggregator.rglob("frame-*"))
    assert not list((finished.consortium / "tokens").iterdir())
    alive = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(finished.root) + os.sep in part for part in process.info["cmdline"] or ())
    ]
    assert alive == []
