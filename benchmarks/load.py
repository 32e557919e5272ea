"""64 silos against one aggregator: seconds, memory and bytes of a round, broken lines, and a killed aggregator.

`python -m benchmarks.load --json` prints one JSON object. The aggregator is `collegium-aggregator serve` with its state
on disk; the silos (`benchmarks.load_silos`) are the silo's own client with mutual TLS and an identity each, in a few
processes on the same machine, and send what silos send: ready-made words in the place of ciphertexts, which the
aggregator cannot tell apart. All of them send at the same moment, which is the worst that can happen to it. Three
rounds of one study:

    plain    nothing breaks
    resets   every connection breaks: of each 256 KiB that went one way, `--resets` percent end it by a TCP reset
    killed   the aggregator gets SIGKILL when half of the uploads' bytes have gone to it, and is started again at once

`serving_s` is from the kill to the first answered call on a new connection, `serving_cpu_s` what the new process worked
till then. `--history` rounds go before, whose messages it has to recover; nothing of them is measured.

The sum that each round gives is compared word for word with the silos' words, added by numpy and reduced once. Bytes
are those of TCP, counted on the way (`benchmarks.load_relay`); memory is the kernel's VmHWM, reset before each round.
Not in it: the exchange of keys and ledger heads, and whatever silos do with what they get.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.founding import Hub, found
from benchmarks.load_crowd import SILENT_SECONDS, Crowd, gathered
from benchmarks.load_relay import PIECE_BYTES, Relay
from benchmarks.usage import Usage
from privacy import study
from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.he.workers import cores
from privacy.roster import least_threshold
from privacy.wire import convert
from privacy.wire.requests import AwaitRequest, Phase

ROUNDS = ("plain", "resets", "killed")
EXCHANGE_SECONDS = 600
MEMORY = Path("/dev/shm")  # noqa: S108  # where silos keep what they move, so that the disk is the aggregator's alone


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="Many silos against one aggregator.")
    parser.add_argument("--silos", type=int, default=64)
    parser.add_argument("--parameters", type=int, default=7_000_000)
    parser.add_argument("--resets", type=float, default=8.0, help="percent of each 256 KiB that end their connection")
    parser.add_argument("--rounds", choices=ROUNDS, nargs="+", default=ROUNDS)
    parser.add_argument("--history", type=int, default=0, help="rounds before, that are not measured")
    parser.add_argument("--processes", type=int, default=4, help="processes for the silos")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="where the aggregator's state lies meanwhile; on a real disk")
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="collegium-load-", dir=arguments.folder)))
        in_memory = MEMORY if MEMORY.is_dir() else None
        moving = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="collegium-load-", dir=in_memory)))
        load_before = os.getloadavg()[0]
        setting = Setting(scratch, moving, arguments.silos, arguments.parameters, arguments.history, arguments.seed)
        costs = setting.measure(arguments.rounds, arguments.resets / 100, arguments.processes)
    result = {
        **setting.described(),
        "resets_percent": arguments.resets,
        "resets_of_bytes": PIECE_BYTES,
        "asked": {"peak_mb": 600, "serving_s": 5},
        "rounds": costs,
        "machine": {
            "cores": cores(),
            "processor": _processor(),
            "load_average_before": round(load_before, 2),
            "load_average_after": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("grpcio", "numpy", "cryptography", "protobuf")},
    }
    print(json.dumps(result, indent=None if arguments.json else 2))


class Setting:
    """A founded consortium and its study.

    Args:
        scratch: for state directories.
        moving: for what silos move.
        silos: how many.
        parameters: of the model.
        history: rounds that go before those that are measured.
        seed: of what is made up.
    """

    def __init__(self, scratch: Path, moving: Path, silos: int, parameters: int, history: int, seed: int) -> None:
        self._scratch, self._moving, self._silos, self._seed = scratch, moving, silos, seed
        self._parameters, self._history = parameters, history
        self._names = [f"silo-{index:02d}" for index in range(1, silos + 1)]
        threshold = least_threshold(silos)
        self._file = found(scratch, self._names, threshold, parameters, history + len(ROUNDS), EXCHANGE_SECONDS)
        self._identity = Identity.load(scratch / self._names[0] / "identity")
        self._study = study.load_signed(self._file, self._identity.study_key)
        self._params = CiphertextParams.for_study(self._study.encryption, silos)
        self._upload_bytes = self._params.upload_bytes(self._study.upload_length)

    def described(self) -> dict[str, object]:
        """Sizes of the study."""
        return {
            "silos": self._silos,
            "threshold": self._study.roster.threshold,
            "parameters": self._parameters,
            "upload_bytes": self._upload_bytes,
            "audit_frames": self._study.aggregation.audit_frames,
            "history": self._history,
        }

    def measure(self, rounds: Sequence[str], resets: float, processes: int) -> dict[str, object]:
        """Run the rounds, one after the other, and give what each cost."""
        costs: dict[str, object] = {}
        hub = Hub(self._scratch, self._file)
        try:
            port = hub.port()
            with Relay(port, self._seed) as relay, self._crowd(relay.port, processes) as crowd:
                expected = self._expected()
                for number in range(1, self._history + 1):
                    crowd.begin(number)
                    crowd.until("closed", self._silos)
                for number, name in enumerate(rounds, self._history + 1):
                    relay.resets = resets if name == "resets" else 0.0
                    usage: Usage | None = Usage(hub.pid)
                    counted = relay.counted
                    begun = crowd.begin(number)
                    recovered: dict[str, float] = {}
                    if name == "killed":
                        relay.wait(counted["bytes_to_aggregator"] + self._silos * self._upload_bytes // 2)
                        hub.kill()
                        killed, usage = time.monotonic(), None
                        hub = Hub(self._scratch, self._file, port)
                        recovered = self._recovered(crowd, hub.pid, port, killed)
                    crowd.until("closed", self._silos)
                    costs[name] = {
                        **crowd.seconds(begun),
                        **recovered,
                        **{key: value - counted[key] for key, value in relay.counted.items()},
                        "upload_messages_bytes": crowd.uploaded(),
                        **Usage(hub.pid).since(usage),
                    }
                    if not np.array_equal(self._sum(), expected):
                        raise SystemExit("the sum is not the sum of what the silos sent")
        finally:
            hub.stop()
        return costs

    def _recovered(self, crowd: Crowd, pid: int, port: int, killed: float) -> dict[str, float]:
        answered, cpu = self._answered(port), Usage(pid).cpu_s
        return {
            "serving_s": round(answered - killed, 2),
            "serving_cpu_s": cpu,
            "next_upload_s": round(crowd.first_after("upload", killed) - killed, 2),
        }

    def _answered(self, port: int) -> float:
        """When a new connection's first call is answered."""
        request = convert.encode_await(AwaitRequest(self._study.digest(), 0, Phase.KEYS_REQUESTED, 0))
        end = time.monotonic() + SILENT_SECONDS
        while time.monotonic() < end:
            with tls.channel(self._identity, f"localhost:{port}") as channel:
                call = channel.unary_stream(f"/{convert.SERVICE.full_name}/Await", bytes, bytes)
                try:
                    tuple(call(request, timeout=10))
                    return time.monotonic()
                except grpc.RpcError:
                    time.sleep(0.02)
        raise SystemExit("the aggregator does not answer")

    def _expected(self) -> NDArray[np.uint64]:
        total = sum(np.load(path) for path in sorted(self._moving.glob("sum-*.npy")))
        return np.asarray(total % frames.moduli(self._params), np.uint64)

    def _sum(self) -> NDArray[np.uint64]:
        """What the first silo downloaded."""
        folder, counts = (
            self._moving / self._names[0] / "sum",
            self._params.frame_ciphertexts(self._study.upload_length),
        )
        got = ((folder / f"frame-{index}").read_bytes() for index in range(len(counts)))
        return np.concatenate(
            [frames.decode(frame, count, self._params) for frame, count in zip(got, counts, strict=True)]
        )

    def _crowd(self, port: int, processes: int) -> AbstractContextManager[Crowd]:
        shared = [self._scratch, self._moving, "--study", self._file, "--seed", self._seed]
        return gathered([*shared, "--aggregator", f"localhost:{port}"], self._silos, processes)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
