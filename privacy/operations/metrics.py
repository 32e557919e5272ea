"""Metrics in Prometheus' text format 0.0.4: a closed list for each program, and values for them.

Nothing here counts patients, images, lots or anything else that depends on them: what is scraped leaves the machine
for a monitoring system that no privacy budget knows of. Labels have fixed or public values (phases, classes of
message, names of hospitals on the roster).
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from privacy.channel import certificate
from privacy.channel.enrolment import IDENTITY_FOLDER
from privacy.channel.identity import CERTIFICATE_FILE
from privacy.errors import IdentityError

GAUGE, COUNTER = "gauge", "counter"


@dataclass(frozen=True)
class Metric:
    """One metric: its full name, its type, what it says, and the label that its samples have, if any."""

    name: str
    kind: str
    what: str
    label: str = ""


@dataclass(frozen=True)
class Sample:
    """A value of a metric; `of` is the value of its label."""

    metric: Metric
    value: float
    of: str = ""


ROUND = Metric("collegium_round", GAUGE, "Number of the newest round.")
ROUNDS = Metric("collegium_rounds", GAUGE, "Rounds of the study; the last one only evaluates.")
PHASE = Metric("collegium_phase", GAUGE, "1 for the phase of the newest round.", "phase")
PHASE_SECONDS = Metric("collegium_phase_seconds", GAUGE, "Seconds since the phase began.")
CERTIFICATE = Metric("collegium_certificate_seconds_left", GAUGE, "Until this party's certificate expires.")
DISK = Metric("collegium_state_free_bytes", GAUGE, "Free bytes of the state directory's file system.")
MEMORY = Metric("collegium_resident_bytes", GAUGE, "Resident memory of the process.")
LEDGER = Metric("collegium_ledger_entries", GAUGE, "Entries of the ledger.")
INCIDENTS = Metric("collegium_incidents", GAUGE, "Entries of the ledger that say that a person should look.")
EVERYBODY = (ROUND, ROUNDS, PHASE, PHASE_SECONDS, CERTIFICATE, DISK, MEMORY, LEDGER, INCIDENTS)
"""Metrics of both programs."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(samples: Iterable[Sample], known: Iterable[Metric]) -> str:
    """The text that is scraped, in the order of `known`.

    Raises:
        RuntimeError: a sample of a metric that is not in the list, or without its label.
    """
    given: dict[Metric, list[Sample]] = {metric: [] for metric in known}
    for sample in samples:
        if sample.metric not in given or bool(sample.of) != bool(sample.metric.label):
            raise RuntimeError(f"{sample.metric.name} is not a metric of this program, or lacks its label")
        given[sample.metric].append(sample)
    lines = []
    for metric, found in given.items():
        lines += [f"# HELP {metric.name} {metric.what}", f"# TYPE {metric.name} {metric.kind}"]
        for sample in found:
            label = f'{{{metric.label}="{_escaped(sample.of)}"}}' if metric.label else ""
            lines.append(f"{metric.name}{label} {float(sample.value):.17g}")
    return "\n".join(lines) + "\n"


def of_machine(state: Path) -> Iterable[Sample]:
    """What the operating system says of this process and its state directory."""
    yield Sample(DISK, shutil.disk_usage(state).free)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield Sample(MEMORY, pages * os.sysconf("SC_PAGE_SIZE"))


def of_certificate(state: Path, now: datetime) -> Iterable[Sample]:
    """How long the certificate is valid that lies there now: a renewed one is taken up without a restart."""
    with suppress(IdentityError):
        held = certificate.read(state / IDENTITY_FOLDER / CERTIFICATE_FILE)
        yield Sample(CERTIFICATE, (held.not_valid_after_utc - now).total_seconds())


def of_phase(said: Mapping[str, object], seconds: float | None) -> Iterable[Sample]:
    """What a program said of its round."""
    for metric, name in ((ROUND, "round"), (ROUNDS, "rounds")):
        value = said.get(name)
        if isinstance(value, int):
            yield Sample(metric, value)
    phase = said.get("phase")
    if isinstance(phase, str) and phase:
        # What stands in brackets is a code that would make a new series each time.
        yield Sample(PHASE, 1, phase.partition(" (")[0])
    if seconds is not None:
        yield Sample(PHASE_SECONDS, seconds)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
