"""A consortium for benchmarks: real authority, enrolment, signed study and aggregator process, all on one machine.

`found` makes all state directories below a folder, `Hub` is the running aggregator. What the silos do is for the
benchmark.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.consortium.authority import Authority
from imaging.tasks import ranking
from privacy import study
from privacy.channel import enrolment, roster_statement
from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.he.params import SMALL_RING_VALUES
from privacy.study import Study
from privacy.update import UpdateLayout

HUB = "hub"
BINS = 8
START_SECONDS = 60.0


def found(
    folder: Path, names: Sequence[str], threshold: int, parameters: int, rounds: int, exchange_seconds: int = 60
) -> Path:
    """A consortium of these silos, its members enrolled below `folder`; the path of the signed study."""
    now = datetime.now(UTC)
    authority = Authority.create(folder / "consortium", "benchmark", now - timedelta(days=1))
    hub = _enrol(authority, folder, Role.AGGREGATOR, HUB, now)
    silos = [_enrol(authority, folder, Role.SILO, name, now) for name in names]
    statement = authority.revocations.renew(now, timedelta(days=1))
    (folder / HUB / "roster-statement.json").write_bytes(roster_statement.dump(statement))
    path = folder / "study.yaml"
    unsigned = _study(hub, silos, threshold, parameters, rounds, exchange_seconds)
    path.write_text(study.dump(study.sign(unsigned, authority.study_key)))
    return path


class Hub:
    """`collegium-aggregator serve` as a process of its own, from its start until `kill` or `stop`.

    Args:
        folder: as for `found`.
        study_file: the signed study.
        port: of loopback; 0 takes a free one.
    """

    def __init__(self, folder: Path, study_file: Path, port: int = 0) -> None:
        self._port_file = folder / "port"
        self._port_file.unlink(missing_ok=True)
        options = ["--state", folder / HUB, "--study", study_file, "--listen", f"localhost:{port}"]
        options += ["--port-file", self._port_file]
        command = [sys.executable, "-m", "aggregator.app", "serve", *map(str, options)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def port(self) -> int:
        """The port, waited for until it serves."""
        end = time.monotonic() + START_SECONDS
        while not (self._port_file.exists() and self._port_file.read_text().endswith("\n")):
            if self._process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the aggregator did not start")
            time.sleep(0.02)
        return int(self._port_file.read_text())

    def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM; gone when this returns."""
        self._process.terminate()
        self._process.wait()


def _enrol(authority: Authority, folder: Path, role: Role, name: str, now: datetime) -> Identity:
    member = Member(authority.name, role, name)
    token, admission = folder / f"{name}.token", folder / f"{name}.admission.json"
    token.write_text(authority.register.invite(member, now + timedelta(hours=1)) + "\n")
    hosts = ("localhost",) if role is Role.AGGREGATOR else ()
    request = enrolment.begin(folder / name, member, hosts, token, folder / f"{name}.request.json")
    admission.write_text(authority.admit(request, now).model_dump_json())
    return enrolment.finish(folder / name, admission, now)


def _study(
    hub: Identity, silos: Sequence[Identity], threshold: int, parameters: int, rounds: int, exchange_seconds: int
) -> Study:
    length = UpdateLayout((("weight", (parameters,)),), ranking.fields(BINS)).length
    ring = "small" if length <= SMALL_RING_VALUES else "large"
    data = {
        "format": "collegium-study/1",
        "name": "benchmark",
        "consortium": hub.member.consortium,
        "task": {"kind": "binary_classification", "label": "none"},
        "model": {"name": "resnet", "seed": 1},
        "transforms": [{"name": "standardise"}],
        "training": {"rounds": rounds, "local_steps": 1, "learning_rate": 1.0},
        "aggregation": {"exchange_seconds": exchange_seconds},
        "privacy": {
            "mechanism": "dp_sgd",
            "epsilon": 8.0,
            "delta": 1e-4,
            "clip": 1.0,
            "sampling_rate": 0.01,
            "lot_size": 10,
            "noise_multiplier": 2.0,
        },
        "evaluation": {"bins": BINS},
        "encryption": {"ring": ring, "length": length},
        "roster": {
            "threshold": threshold,
            "steward": silos[0].member.name,
            "aggregator": {"name": hub.member.name, "identity": hub.keys.public_identity.hex()},
            "silos": [{"name": s.member.name, "identity": s.keys.public_identity.hex()} for s in silos],
        },
    }
    return Study.model_validate_json(json.dumps(data))
