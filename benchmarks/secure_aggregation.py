"""What secure aggregation costs: protect, add, open, against the usual TenSEAL way on the same vector.

`python -m benchmarks.secure_aggregation [--parameters N] [--silos K] [--threads T] --json` prints one JSON object. Real
parts throughout: CKKS, the self mask and K - 1 pair masks, MAC, wire form and digests; the aggregator's own fold from
files, in a process of its own; the sum verified, unmasked, decrypted and compared with the sum of the integers. CPU
seconds are those of this process and its workers, user and system; medians over silos where there are several.

*Repeated uploads.* All K uploads are made, unless that would take more than 2.5 GB: then `distinct` of them are, each
under at least K - 1 pair masks that cancel among them, and each is stored, added and opened K / distinct times. The
output says how many. The aggregator's memory is measured for K, for 3 and for 32 uploads, repeated as need be.
"""

import argparse
import hashlib
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before numpy is loaded: matrix products on one core, not in a pool of threads that spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks.aggregator_fold import memory
from privacy.he import frames
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.secagg import masked, masks
from privacy.secagg.mac import RoundMac
from privacy.secagg.masked import Prepared
from privacy.secagg.masks import MaskKeys

DENSENET121 = 7_033_403
"""Trainable values of MONAI's DenseNet121: 2D, one channel, two classes."""
BASELINE_VALUES = 8_000_000
"""The usual way takes some 150 bytes of memory a value: a longer vector is cut to this, and its seconds scaled up."""
DISTINCT_BYTES = 2_500_000_000
MEMORY_SILOS = (3, 32)


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds of something, its workers included."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> "Cost":
        """A reading to subtract from a later one. Children count once they have ended."""
        usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return cls(sum(usage.ru_utime + usage.ru_stime for usage in usages), time.perf_counter())

    def __sub__(self, earlier: "Cost") -> "Cost":
        return Cost(self.cpu - earlier.cpu, self.wall - earlier.wall)


class Round:
    """A round's secrets and what its silos do. Silos count from 0; `distinct` have an upload of their own."""

    def __init__(self, params: CiphertextParams, length: int, distinct: int, threads: int, folder: Path) -> None:
        self.params, self.length, self.distinct, self.threads, self.folder = params, length, distinct, threads, folder
        self.copies = params.silos // distinct
        self.holder = KeyHolder.generate(params)
        self.group, self.ctx = secrets.token_bytes(32), secrets.token_bytes(32)
        self.own = tuple(secrets.token_bytes(32) for _ in range(distinct))
        masks_a_pair = -(-(params.silos - 1) // (distinct - 1))
        self.pairs = {
            (low, high): [secrets.token_bytes(32) for _ in range(masks_a_pair)]
            for high in range(distinct)
            for low in range(high)
        }
        self.seeds: list[bytes] = []
        self.tags: dict[int, bytes] = {}

    def protect(self, silo: int, values: NDArray[np.uint16]) -> Cost:
        """Make an upload and write it to the page cache."""
        folder = self.folder / f"upload-{silo + 1}"
        folder.mkdir()
        began = Cost.now()
        mac, made, seeds = RoundMac(self.group, self.ctx, self.params, self.length), [], []
        for index, frame in enumerate(masked.protect(self.holder, values, self._keys(silo), mac, self.threads)):
            (folder / f"frame-{index}").write_bytes(frame.wire)
            made.append(frame.mac)
            seeds.append(frame.seeds)
        self.tags[silo + 1] = mac.tag(silo + 1, made)
        cost = Cost.now() - began
        self.seeds.append(b"".join(seeds))
        for copy in range(silo + self.distinct, self.params.silos, self.distinct):
            self.tags[copy + 1] = mac.tag(copy + 1, made)
        return cost

    def protect_prepared(self, values: NDArray[np.uint16], patience: float) -> float:
        """Wall seconds to protect once more, with masked encryptions of zero made ahead, as while training."""
        keys = self._keys(0)
        with Prepared(self.holder, self.length, keys, self.threads) as prepared:
            time.sleep(patience)
            began = Cost.now()
            mac = RoundMac(self.group, self.ctx, self.params, self.length)
            for _ in masked.protect(self.holder, values, keys, mac, self.threads, prepared):
                pass
            return (Cost.now() - began).wall

    def open(self) -> tuple[NDArray[np.int64], Cost]:
        """Verify the sum on disk, take the masks off, decrypt."""
        counts = self.params.frame_ciphertexts(self.length)
        digests = [hashlib.sha256(self._frame(index)).digest() for index in range(len(counts))]
        own = MaskKeys(self.own)

        def unmasked(index: int) -> NDArray[np.uint64]:
            words = frames.decode(self._frame(index), counts[index], self.params)
            for _ in range(self.copies):
                masks.subtract(words, own, self.params, index * self.params.ciphertexts_per_frame)
            return words

        began = Cost.now()
        mac = RoundMac(self.group, self.ctx, self.params, self.length)
        masked.verify_sum(self._frame, digests, self.tags, mac, self.params, self.length, self.threads)
        sums = self.holder.open_words(unmasked, self.seeds * self.copies, self.length, self.threads)
        return sums, Cost.now() - began

    def fold(self, silos: int) -> dict[str, float]:
        """The aggregator's part, with `silos` uploads: those there are, repeated as need be."""
        for silo in range(self.distinct, silos):
            repeated = self.folder / f"upload-{silo + 1}"
            if not repeated.exists():
                repeated.symlink_to(self.folder / f"upload-{silo % self.distinct + 1}")
        ring = ["--ring", str(self.params.degree), "--prime-bits", str(self.params.prime_bits)]
        measured: dict[str, float] = child("benchmarks.aggregator_fold", str(self.folder), "--silos", str(silos), *ring)
        return measured

    def _keys(self, silo: int) -> MaskKeys:
        plus = [key for (low, _), keys in self.pairs.items() if low == silo for key in keys]
        minus = [key for (_, high), keys in self.pairs.items() if high == silo for key in keys]
        return MaskKeys((self.own[silo], *plus), tuple(minus))

    def _frame(self, index: int) -> bytes:
        return (self.folder / "sum" / f"frame-{index}").read_bytes()


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="What secure aggregation costs, and the usual TenSEAL way beside it.")
    parser.add_argument("--parameters", type=int, default=DENSENET121)
    parser.add_argument("--silos", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="worker processes")
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    arguments = parser.parse_args()
    result = run(arguments.parameters, arguments.silos, arguments.threads)
    print(json.dumps(result, indent=None if arguments.json else 2))


def run(length: int, silos: int, threads: int) -> dict[str, Any]:
    """All figures, measured one after the other."""
    params = CiphertextParams.choose(silos, length)
    upload_bytes = params.upload_bytes(length)
    divisors = [number for number in range(2, silos + 1) if silos % number == 0]
    distinct = max([number for number in divisors if number * upload_bytes <= DISTINCT_BYTES], default=divisors[0])
    with tempfile.TemporaryDirectory(prefix="collegium-benchmark-") as scratch:
        folder = Path(scratch)
        generator = np.random.default_rng(7)
        update = generator.normal(0.0, 0.01, length).astype(np.float32)
        np.save(folder / "vector.npy", update[:BASELINE_VALUES])
        first = np.clip(update * 1e6 + 32768, 0, 65535).astype(np.uint16)
        del update
        whole = Round(params, length, distinct, threads, folder)
        expected, protects = np.full(length, 0, np.int64), []
        idle = reset_peak()
        for silo in range(distinct):
            values = first if silo == 0 else generator.integers(0, 1 << 16, length, dtype=np.uint16)
            protects.append(whole.protect(silo, values))
            expected += values
        expected *= whole.copies
        protect_peak = memory("VmHWM") - idle
        folded = whole.fold(silos)
        idle = reset_peak()
        opened, opening = whole.open()
        open_peak = memory("VmHWM") - idle
        exact = bool(np.array_equal(opened, expected))
        prepared = whole.protect_prepared(first, 1 + 2 * protects[0].wall)
        peaks = {str(count): whole.fold(count)["peak_over_idle_mb"] for count in MEMORY_SILOS}
        baseline = child("benchmarks.usual_tenseal", str(folder / "vector.npy"), "--threads", str(threads))
    cut = length / baseline["parameters"]
    protect_cpu = statistics.median(cost.cpu for cost in protects)
    download_bytes = sum(params.frame_sizes(length)) + silos * params.seed_bytes(length)
    return {
        "parameters": length,
        "silos": silos,
        "threads": threads,
        "distinct_uploads": distinct,
        "ring": f"degree {params.degree}, {len(params.primes)} x {params.prime_bits} bits",
        "fields": params.fields,
        "protect_cpu_s": round(protect_cpu, 3),
        "protect_wall_s": round(statistics.median(cost.wall for cost in protects), 3),
        "protect_prepared_wall_s": round(prepared, 3),
        "upload_bytes": upload_bytes,
        "upload_ratio": round(upload_bytes / 4 / length, 4),
        "download_bytes": download_bytes,
        "download_ratio": round(download_bytes / 4 / length, 4),
        "add_cpu_s": round(folded["cpu_s"] / silos, 4),
        "fold_wall_s": round(folded["wall_s"], 3),
        "open_cpu_s": round(opening.cpu, 3),
        "open_wall_s": round(opening.wall, 3),
        "client_peak_mb": {"protect": round(protect_peak, 1), "open": round(open_peak, 1)},
        "aggregator_idle_mb": folded["idle_mb"],
        "aggregator_peak_mb": folded["peak_over_idle_mb"],
        "aggregator_peak_mb_by_silos": peaks,
        "exact": exact,
        "baseline": baseline,
        "baseline_scaled_by": round(cut, 3),
        "protect_speedup": round(baseline["protect_cpu_s"] * cut / protect_cpu, 1),
        "upload_shrink": round(baseline["upload_bytes"] * cut / upload_bytes, 1),
    }


def child(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON object in the last line that a measuring process of ours prints."""
    command = [sys.executable, "-m", module, *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def reset_peak() -> float:
    """Let the kernel count the peak of this process anew; its present resident memory in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


if __name__ == "__main__":
    main()
