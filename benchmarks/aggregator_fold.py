"""The aggregator's fold, measured in a process of its own: real frames from disk, the aggregator's own code.

`python -m benchmarks.aggregator_fold FOLDER --silos K` takes the uploads `FOLDER/upload-1 .. upload-K` into a study's
store in `FOLDER/study`, adds them, copies the sum to `FOLDER/sum`, and prints one JSON object. *Idle* is this process
with everything the aggregator's command imports and the uploads stored; *peak* is the most resident memory it had until
the sum was on disk. CPU seconds hold reading, checking, decoding, adding and writing.
"""

import argparse
import importlib
import json
import time
from pathlib import Path

from aggregator.rounds.fold import fold
from aggregator.storage.store import RoundStore, StudyStore
from privacy.channel.envelope import Signed
from privacy.he.params import MOST_SILOS, PRIMES, CiphertextParams


def main() -> None:
    """Fold and print."""
    parser = argparse.ArgumentParser(description="Fold stored uploads.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--silos", type=int, required=True)
    parser.add_argument("--ring", type=int, required=True, help="ring degree")
    parser.add_argument("--prime-bits", type=int, required=True)
    arguments = parser.parse_args()
    importlib.import_module("aggregator.app")
    # The number of silos does not change the words of a ring: the same uploads are added however often.
    params = CiphertextParams(arguments.ring, PRIMES[arguments.ring, arguments.prime_bits], 16, MOST_SILOS)
    frames = len(list((arguments.folder / "upload-1").glob("frame-*")))
    sizes = [(arguments.folder / "upload-1" / f"frame-{index}").stat().st_size for index in range(frames)]
    store = StudyStore(arguments.folder / "study").round(1)
    for silo in range(1, arguments.silos + 1):
        take(store, silo, arguments.folder / f"upload-{silo}", frames)
    idle, wall, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    fold(params, sizes, range(1, arguments.silos + 1), store)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = memory("VmHWM")
    (arguments.folder / "sum").mkdir(exist_ok=True)
    for index in range(frames):
        (arguments.folder / "sum" / f"frame-{index}").write_bytes(store.sum_frame(index))
    print(json.dumps({"idle_mb": idle, "peak_over_idle_mb": round(peak - idle, 1), "cpu_s": cpu, "wall_s": wall}))


def take(store: RoundStore, silo: int, upload: Path, frames: int) -> None:
    """Store an upload as if a silo had sent it, unless it is there from the run before."""
    if silo not in dict(store.uploads()):
        incoming = store.incoming(silo, Signed("upload-header", b"", f"silo-{silo}", bytes(64)))
        for index in range(frames):
            incoming.put(index + 1, (upload / f"frame-{index}").read_bytes())
        incoming.commit()


def memory(name: str) -> float:
    """A figure of this process's memory in MB, as the kernel counts it (VmRSS now, VmHWM at most)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise RuntimeError("this system does not report memory")


if __name__ == "__main__":
    main()
