"""A small consortium on this machine, made by the real commands: three hospitals, one aggregator, made-up patients."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from deploy.sandbox import phantom
from deploy.sandbox.phantom import SiloPlan
from deploy.sandbox.scanner import SCANNERS
from privacy.ledger.entry import Entry
from tests.e2e import commands
from tests.e2e.commands import Ended
from tests.e2e.processes import end, wait
from tests.e2e.programs import APPS
from tests.e2e.state_folders import ledger

SILOS = ("north", "harbour", "hill")
AGGREGATOR = "hub"
CONSORTIUM = "chest-net"
COHORT = "chest"
STUDY = "opacity"
PATIENTS = 14

DRAFT: dict[str, Any] = {
    "format": "collegium-study/1",
    "name": STUDY,
    "task": {"kind": "binary_classification", "label": "label"},
    "transforms": [{"name": "resize", "parameters": {"size": [32, 32]}}, {"name": "standardise"}],
    "model": {
        "name": "classifier",
        "parameters": {"size": [32, 32], "widths": [8, 16], "strides": [2, 2], "norm_groups": 4},
        "seed": 1,
    },
    "training": {"rounds": 2, "local_steps": 2, "learning_rate": 0.5},
    # Nobody is missing here; what a busy machine takes longer for ends no round.
    "aggregation": {"optimizer": "momentum", "round_deadline_seconds": 600, "exchange_seconds": 300},
    "privacy": {
        "mechanism": "dp_sgd",
        "epsilon": 2.0,
        "delta": 0.001,
        "noise_multiplier": 2.0,  # given, so that signing need not search for it
        "clip": 1.0,
        "sampling_rate": 0.5,
        "lot_size": 5,
    },
    "roster": {"steward": "north", "aggregator": AGGREGATOR, "silos": list(SILOS)},
}
POLICY: dict[str, Any] = {
    "max_epsilon": 2.0,
    "delta": 0.001,
    "allowed_tasks": ["binary_classification"],
    "allowed_models": ["classifier"],
    "cohorts": [COHORT],
    "allow_without_dp": False,
}


@dataclass(frozen=True)
class Server:
    """An aggregator that serves."""

    process: "subprocess.Popen[bytes]"
    port: int


@dataclass(frozen=True)
class Scene:
    """Everything of one consortium below `root`; a copy of the folder is a scene of its own."""

    root: Path
    silos: tuple[str, ...] = SILOS

    # ---- places

    @property
    def consortium(self) -> Path:
        return self.root / "consortium"

    @property
    def paper(self) -> Path:
        """What the parties hand to each other."""
        return self.root / "paper"

    @property
    def study(self) -> Path:
        return self.paper / "study.yaml"

    @property
    def statement(self) -> Path:
        """Where the aggregator looks for roster statements by itself."""
        return self.aggregator / "roster-statement.json"

    @property
    def transcript(self) -> Path:
        return self.root / "transcript.jsonl"

    @property
    def aggregator(self) -> Path:
        return self.root / "aggregator"

    def state(self, silo: str) -> Path:
        return self.root / "silos" / silo

    def data(self, silo: str) -> Path:
        """The hospital's archive: `dicom/` and `labels.csv`."""
        return self.root / "data" / silo

    def model(self, silo: str) -> Path:
        return self.root / "model" / silo

    def log(self, name: str) -> Path:
        """Where a process that goes on in the background writes; suffixes .out and .err."""
        folder = self.root / "logs"
        folder.mkdir(exist_ok=True)
        return folder / name

    # ---- steps

    def well(self, name: str, *arguments: object) -> Ended:
        """Run a command that must end well, and keep what it said."""
        ended = commands.run(name, *arguments)
        commands.note(self.transcript, ended)
        return ended.well()

    def here(self, name: str, *arguments: object) -> Ended:
        """As `well`, but in this process, which has imported already what takes most of a command's time."""
        words = [str(argument) for argument in arguments]
        done = CliRunner().invoke(import_module(APPS[name]).app, words, catch_exceptions=False)
        ended = Ended((commands.program(f"collegium-{name}"), *words), done.exit_code, done.stdout, done.stderr)
        commands.note(self.transcript, ended)
        return ended.well()

    def found(self) -> None:
        """The consortium, its members and their cohorts; what one hospital did by command, the others do `here`."""
        self.paper.mkdir(parents=True)
        self.well("consortium", "init", self.consortium, "--name", CONSORTIUM, "--plain-keys", "--json")
        self.join("aggregator", AGGREGATOR, self.aggregator, self.well)
        for number, name in enumerate(self.silos):
            run = self.here if number else self.well
            self.join("silo", name, self.state(name), run)
            plan = SiloPlan(name, PATIENTS, 0.5, SCANNERS[number], monochrome1=0.1, broken=4)
            phantom.make(plan, self.data(name), seed=100 + number)
            self.ingest(name, run)
            self.set_policy(name)

    def join(self, role: str, name: str, state: Path, run: Callable[..., Ended]) -> None:
        """From a token to an enrolled member."""
        token, request, admission = (self.paper / f"{name}.{kind}" for kind in ("token", "request", "admission"))
        at = ("--dir", self.consortium, "--json")
        host = ("--host", "localhost", "--host", "127.0.0.1") if role == "aggregator" else ()
        run("consortium", "token", role, name, "-o", token, *at)
        run(
            role,
            *("init", "--state", state, "--name", name, "--consortium", CONSORTIUM),
            *("--token-file", token, *host, "-o", request, "--json"),
        )
        run("consortium", "admit", request, "-o", admission, *at)
        run(role, "enrol", admission, "--state", state, "--json")

    def ingest(self, silo: str, run: Callable[..., Ended]) -> None:
        """The hospital's archive becomes its cohort."""
        run("silo", "ingest", *self.archive(silo), "--cohort", COHORT, "--state", self.state(silo), "--json")

    def archive(self, silo: str) -> tuple[object, ...]:
        """The arguments of `ingest` for the hospital's archive."""
        return (self.data(silo) / "dicom", "--labels", self.data(silo) / "labels.csv")

    def set_policy(self, silo: str, **changes: object) -> None:
        """What the hospital allows: this study, with changes."""
        (self.state(silo) / "silo.yaml").write_text(yaml.safe_dump({"policy": {**POLICY, **changes}}))

    def sign(self, output: Path, **changes: Mapping[str, object] | str) -> None:
        """Sign the study, with changes to its sections."""
        draft = dict(DRAFT)
        for section, change in changes.items():
            draft[section] = change if isinstance(change, str) else {**DRAFT.get(section, {}), **change}
        if self.study.exists() and "model" not in changes and "encryption" not in draft:
            # Given, so that signing need not build the model, for which it imports torch, a second time.
            signed = yaml.safe_load(self.study.read_text())["study"]
            draft["encryption"] = {"length": signed["encryption"]["length"]}
        file = output.with_suffix(".draft.yaml")
        file.write_text(yaml.safe_dump(draft))
        self.well("consortium", "study", "sign", file, "--dir", self.consortium, "-o", output, "--json")
        if not self.statement.exists():
            self.well("consortium", "roster-statement", "--dir", self.consortium, "-o", self.statement, "--json")

    def approve_arguments(
        self, silo: str, study: Path | None = None, silos: tuple[str, ...] | None = None
    ) -> tuple[object, ...]:
        """The arguments of an `approve` that confirms all others."""
        confirmed = (
            part
            for other in (self.silos if silos is None else silos)
            if other != silo
            for part in ("--confirm", f"{other}=by phone")
        )
        return (
            *("approve", study or self.study, "--cohort", COHORT, "--by", "Ada Roe"),
            *(*confirmed, "--yes", "--state", self.state(silo)),
        )

    def approve_all(self) -> None:
        """Every hospital approves the study, the first by the installed command."""
        for number, name in enumerate(self.silos):
            (self.here if number else self.well)("silo", *self.approve_arguments(name))

    # ---- running

    @contextmanager
    def serving(self, port: int = 0, study: Path | None = None) -> Iterator[Server]:
        """The aggregator serves while the context is open; it must then end well."""
        server = self.serve(port, study)
        try:
            yield server
            assert server.process.poll() is None, self.log("serve").with_suffix(".err").read_text()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(120) == 0
        finally:
            end(server.process)

    def serve(self, port: int = 0, study: Path | None = None) -> Server:
        """Start the aggregator and wait until it serves; the caller ends it."""
        port_file = self.root / "port"
        port_file.unlink(missing_ok=True)
        process = commands.start(self.log("serve"), "aggregator", *self.serve_arguments(port, port_file, study))
        try:
            wait(lambda: port_file.exists() and port_file.read_text().endswith("\n"), process)
        except BaseException:
            end(process)
            raise
        return Server(process, int(port_file.read_text()))

    def start_silo(self, silo: str, port: int, patience: float = 300, *more: object) -> "subprocess.Popen[bytes]":
        """Start a silo's `run`, with `more` options; the caller ends it."""
        return commands.start(self.log(silo), "silo", *self.run_arguments(silo, port, patience), *more)

    def serve_arguments(self, port: int, port_file: Path, study: Path | None = None) -> tuple[object, ...]:
        """The arguments of the aggregator's `serve`."""
        return (
            *("serve", "--state", self.aggregator, "--study", study or self.study),
            *("--listen", f"127.0.0.1:{port}", "--port-file", port_file),
        )

    def run_arguments(self, silo: str, port: int, patience: float = 60) -> tuple[object, ...]:
        """The arguments of a silo's `run`."""
        return (
            *("run", "--state", self.state(silo), "--aggregator", f"localhost:{port}"),
            *("--patience", patience, "--progress-json", self.progress_file(silo)),
        )

    def progress_file(self, silo: str) -> Path:
        return self.root / f"progress-{silo}.jsonl"

    def progress(self, silo: str) -> list[dict[str, Any]]:
        """What the silo told of its progress so far, whole lines only."""
        file = self.progress_file(silo)
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().split("\n")[:-1]]

    def export(self, silo: str) -> None:
        """The silo's final model."""
        self.well("silo", "export", "--state", self.state(silo), "--study", STUDY, "-o", self.model(silo), "--json")

    # ---- looking

    def entries(self, silo: str) -> tuple[Entry, ...]:
        """The silo's ledger, verified."""
        return ledger(self.state(silo))

    def copy(self, destination: Path) -> "Scene":
        """A scene of its own."""
        shutil.copytree(self.root, destination, symlinks=True)
        return Scene(destination, self.silos)


Copied = Callable[[Scene], Scene]
"""Makes a scene of a test's own; see the fixture `copied`."""
