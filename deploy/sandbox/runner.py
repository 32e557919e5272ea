"""Takes a consortium from nothing to a trained model and a report, by calling the real commands.

It plays every person of a study: the consortium operator, each hospital's IT and the aggregator's
operator, each in their own directory below `out`. It does nothing that a command does not do.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.sandbox import draft
from deploy.sandbox.draft import AGGREGATOR, COHORT, CONSORTIUM
from deploy.sandbox.processes import Child, Processes, Step, StepFailed
from deploy.sandbox.progress import Display, SiloProgress
from deploy.sandbox.spending import Mechanism, Meter, spent
from privacy.configuration import load
from privacy.study import SignedStudy, Study

ADDRESS = "localhost"
LISTING = "listing.csv"
LABELLING = "labelling.yaml"
START_PATIENCE = 30.0
"""Seconds the aggregator has to start serving."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
"""Silos share this machine's cores, so each process computes on one."""


@dataclass(frozen=True)
class Order:
    """What to run.

    `sources` has a folder for every silo, in order: `labels.csv`, with `dicom/` or `listing.csv`, and `labelling.yaml`
    if labels are not 0 or 1.
    """

    out: Path
    silos: tuple[str, ...]
    sources: tuple[Path, ...]
    study: dict[str, Any]
    """The draft's content, see `draft.make`."""
    weights: Path | None = None
    """The file of public weights that it starts from, if it does."""


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        study: as it was signed.
        silos: final progress of every silo.
        epsilon: what each silo's ledger was charged; None = unprotected.
        seconds_first_round: from the start of aggregator and silos until all closed the first round.
        seconds_rounds: from the same start until the last silo ended.
        models: folder of every silo's export.
        report: the privacy-budget report.
    """

    study: Study
    silos: tuple[SiloProgress, ...]
    epsilon: dict[str, float | None]
    seconds_first_round: float
    seconds_rounds: float
    models: tuple[Path, ...]
    report: Path


class Consortium:
    """The directories and steps of one run."""

    def __init__(self, order: Order, processes: Processes, display: Display) -> None:
        self._order = order
        self._processes = processes
        self._display = display
        self._authority = order.out / "consortium"
        self._paper = order.out / "paper"
        self._states = {name: order.out / "silos" / name for name in order.silos}
        self._aggregator = order.out / "aggregator"
        self._signed = self._paper / "study.yaml"
        self._statement = self._paper / "roster-statement.json"
        self._weights = () if order.weights is None else ("--weights", str(order.weights))

    def run(self) -> Outcome:
        """All steps in order.

        Raises:
            StepFailed: a command failed.
        """
        self._paper.mkdir(mode=0o700)
        self._enrol()
        self._ingest()
        study = self._agree()
        silos, first, whole = self._train(study)
        models, report = self._finish()
        delta = study.privacy.delta
        epsilon = {name: spent(state / "ledger", COHORT, delta) for name, state in self._states.items()}
        return Outcome(study, silos, epsilon, first, whole, models, report)

    def _enrol(self) -> None:
        self._display.step("making the consortium; every party makes its keys and is admitted")
        self._run(self._consortium("init", "init", str(self._authority), "--name", CONSORTIUM, "--plain-keys"))
        members = [("aggregator", AGGREGATOR, self._aggregator)]
        members += [("silo", name, state) for name, state in self._states.items()]
        at = ("--dir", str(self._authority))
        self._run(
            *(
                self._consortium(f"token-{name}", "token", role, name, *at, "-o", str(self._token(name)))
                for role, name, _ in members
            )
        )
        self._run(*(self._init(role, name, state) for role, name, state in members))
        self._run(
            *(
                self._consortium(
                    f"admit-{name}", "admit", self._file(name, "request"), *at, "-o", self._file(name, "admission")
                )
                for _, name, _ in members
            ),
            at_once=1,
        )
        self._run(
            *(
                Step(
                    f"enrol-{name}",
                    f"collegium-{role}",
                    ("enrol", self._file(name, "admission"), "--state", str(state)),
                )
                for role, name, state in members
            )
        )

    def _ingest(self) -> None:
        self._display.step("reading images at every silo: de-identified, indexed, broken files put aside")
        self._run(*map(self._ingest_one, self._order.silos, self._order.sources))

    def _ingest_one(self, name: str, source: Path) -> Step:
        listing, labelling = source / LISTING, source / LABELLING
        images = listing if listing.exists() else source / "dicom"
        meaning = ("--labelling", str(labelling)) if labelling.exists() else ()
        return self._silo(
            name, "ingest", str(images), "--labels", str(source / "labels.csv"), "--cohort", COHORT, *meaning
        )

    def _agree(self) -> Study:
        self._display.step("signing the study; every silo approves it under its own policy")
        unsigned = self._paper / "draft.yaml"
        unsigned.write_text(yaml.safe_dump(self._order.study, sort_keys=False), encoding="utf-8")
        at = ("--dir", str(self._authority))
        self._run(
            self._consortium("sign", "study", "sign", str(unsigned), *at, "-o", str(self._signed), *self._weights),
            self._consortium("roster-statement", "roster-statement", *at, "-o", str(self._statement)),
        )
        allowed = yaml.safe_dump(draft.policy(self._order.study), sort_keys=False)
        for state in self._states.values():
            (state / "silo.yaml").write_text(allowed, encoding="utf-8")
        self._run(*(self._approve(name) for name in self._order.silos))
        return load(self._signed, SignedStudy).study

    def _approve(self, name: str) -> Step:
        others = [other for other in self._order.silos if other != name]
        confirmations = [part for other in others for part in ("--confirm", f"{other}=same person, in the sandbox")]
        return self._silo(
            name,
            "approve",
            *(str(self._signed), "--cohort", COHORT, "--by", "Sandbox", *confirmations, *self._weights, "--yes"),
        )

    def _train(self, study: Study) -> tuple[tuple[SiloProgress, ...], float, float]:
        self._display.step("training: one aggregator and every silo as a process of its own, TLS 1.3 between them")
        began, began_at = time.monotonic(), time.time()
        port_file = self._order.out / "port"
        server = self._processes.start(
            Step(
                "serve",
                "collegium-aggregator",
                (
                    *("serve", "--state", str(self._aggregator), "--study", str(self._signed)),
                    *("--roster-statement", str(self._statement)),
                    *("--listen", "127.0.0.1:0", "--port-file", str(port_file)),
                ),
            )
        )
        address = f"{ADDRESS}:{self._port(server, port_file)}"
        progress = tuple(SiloProgress(name, self._order.out / f"progress-{name}.jsonl") for name in self._order.silos)
        working = [
            self._processes.start(
                self._silo(silo.name, "run", "--aggregator", address, "--progress-json", str(silo.path))
            )
            for silo in progress
        ]

        def tick() -> None:
            for silo in progress:
                silo.read()
            self._display.show(progress)

        self._display.begin(Meter(_mechanism(study)))
        try:
            self._processes.follow(working, [server], tick)
        finally:
            self._display.end()
        self._processes.end(server)
        closed = [silo.first_round_closed for silo in progress if silo.first_round_closed is not None]
        if len(closed) != len(progress):
            raise StepFailed("a silo ended without closing a round; see the log files below logs/")
        return progress, max(closed) - began_at, time.monotonic() - began

    def _port(self, server: Child, port_file: Path) -> int:
        deadline = time.monotonic() + START_PATIENCE

        def waiting() -> bool:
            if time.monotonic() > deadline:
                raise StepFailed("the aggregator did not start serving in time; see the log files below logs/")
            return not (port_file.exists() and port_file.read_text().strip())

        self._processes.wait_while(waiting, [server])
        return int(port_file.read_text())

    def _finish(self) -> tuple[tuple[Path, ...], Path]:
        self._display.step("exporting the model at every silo; writing the privacy-budget report")
        exports = {name: self._order.out / "model" / name for name in self._order.silos}
        study = self._order.study["name"]
        self._run(*(self._silo(name, "export", "--study", study, "-o", str(at)) for name, at in exports.items()))
        report = self._order.out / "report"
        self._run(Step("report", "collegium-compliance", ("report", str(self._order.out), "-o", str(report))))
        return tuple(exports.values()), report / "report.html"

    def _init(self, role: str, name: str, state: Path) -> Step:
        host = ("--host", ADDRESS) if role == "aggregator" else ()
        return Step(
            f"init-{name}",
            f"collegium-{role}",
            (
                *("init", "--state", str(state), "--name", name, "--consortium", CONSORTIUM, *host),
                *("--token-file", str(self._token(name)), "-o", self._file(name, "request")),
            ),
        )

    def _token(self, name: str) -> Path:
        return self._paper / f"{name}.token"

    def _file(self, name: str, kind: str) -> str:
        return str(self._paper / f"{name}.{kind}.json")

    def _consortium(self, name: str, *arguments: str) -> Step:
        return Step(name, "collegium-consortium", arguments)

    def _silo(self, name: str, command: str, *arguments: str) -> Step:
        return Step(f"{command}-{name}", "collegium-silo", (command, *arguments, "--state", str(self._states[name])))

    def _run(self, *steps: Step, at_once: int = 2) -> tuple[Child, ...]:
        return self._processes.run(steps, at_once=at_once)


def _mechanism(study: Study) -> Mechanism | None:
    privacy = study.privacy
    if privacy.noise_multiplier is None or privacy.delta is None:
        return None
    return Mechanism(privacy.sampling_rate, privacy.noise_multiplier, study.training.local_steps, privacy.delta)
