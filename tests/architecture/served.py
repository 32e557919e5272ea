"""The aggregator's real command in a child process in which everything a blind adder must not have is blocked."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from privacy import study as studies
from tests.integration.federation import Federation

BLOCKED = (
    "Crypto",
    "compliance",
    "deploy",
    "dp_accounting",
    "imaging",
    "monai",
    "opacus",
    "privacy.dp.accounting",
    "privacy.dp.gradients",
    "privacy.dp.patients",
    "privacy.dp.preflight",
    "privacy.dp.training",
    "privacy.he.keyholder",
    "privacy.he.packing",
    "privacy.he.ring",
    "privacy.he.seal",
    "privacy.randomness",
    "privacy.secagg",
    "pkcs11",
    "pydicom",
    "safetensors",
    "silo_node",
    "tenseal",
    "torch",
)
"""What trains, reads images, opens ciphertexts or holds a silo's logic."""

PRELUDE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(blocked + ".") for blocked in {blocked!r}):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
"""

SERVE = (
    PRELUDE
    + """
from aggregator.app import main
main()
"""
)


@dataclass(frozen=True)
class Served:
    """A running aggregator."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def peak_bytes(self) -> int:
        """Most resident memory it ever had (VmHWM)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("this system does not report a peak")


@contextmanager
def served(federation: Federation, blocked: tuple[str, ...] = BLOCKED, port: int = 0) -> Iterator[Served]:
    """`collegium-aggregator serve` over the federation's hub, with its study signed by the consortium."""
    signed = federation.folder / "study.yaml"
    signed.write_text(studies.dump(studies.sign(federation.study, federation.consortium.authority.study_key)))
    port_file = federation.folder / "port"
    port_file.unlink(missing_ok=True)
    state = federation.consortium.state(federation.hub.member.name)
    arguments = ["serve", "--state", str(state), "--study", str(signed), "--listen", f"localhost:{port}"]
    arguments += ["--roster-statement", str(federation.statement)]
    log = federation.folder / "aggregator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE.format(blocked=blocked), *arguments, "--port-file", str(port_file)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(300):
            if port_file.exists() and port_file.read_text().endswith("\n"):
                break
            if process.poll() is not None:
                raise RuntimeError(f"the aggregator ended: {log.read_text()}")
            time.sleep(0.05)
        yield Served(process, int(port_file.read_text()))
    finally:
        process.kill()
        process.wait()


def modules_of(statement: str) -> set[str]:
    """Names of all modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60).stdout
    return set(json.loads(output))
