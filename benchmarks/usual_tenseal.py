"""The usual way to encrypt an update with TenSEAL, measured: `ckks_vector`, one shared context, 40-bit scale.

A process of its own: `python -m benchmarks.usual_tenseal VECTOR.npy --threads T` prints one JSON object in its last
line. Ring 8192, primes of 60, 40 and 40 bits, as in TenSEAL's tutorials. The context is made and shared before
the clock starts. CPU seconds of the whole process; one upload is made, loaded, added to itself and decrypted.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import tenseal

RING, PRIME_BITS, SCALE = 8192, [60, 40, 40], 2.0**40


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The usual TenSEAL way.")
    parser.add_argument("vector")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measured(np.load(arguments.vector), arguments.threads)))


def measured(vector: Any, threads: int) -> dict[str, Any]:
    """CPU seconds, bytes and error of protecting, adding and opening a vector."""
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, RING, coeff_mod_bit_sizes=PRIME_BITS, n_threads=threads)
    context.global_scale = SCALE
    clock = [time.process_time()]

    def lap() -> float:
        clock.append(time.process_time())
        return round(clock[-1] - clock[-2], 4)

    upload = tenseal.ckks_vector(context, vector.tolist()).serialize()
    protect = lap()
    total, other = (tenseal.ckks_vector_from(context, upload) for _ in range(2))
    load = lap() / 2
    total += other
    add = lap()
    download = total.serialize()
    lap()
    opened = np.array(tenseal.ckks_vector_from(context, download).decrypt())
    return {
        "way": f"ckks_vector, ring {RING}, primes {PRIME_BITS}, scale 2^40, one shared context",
        "parameters": vector.size,
        "protect_cpu_s": protect,
        "add_cpu_s": round(load + add, 4),
        "open_cpu_s": lap(),
        "upload_bytes": len(upload),
        "upload_ratio": round(len(upload) / 4 / vector.size, 3),
        "download_ratio": round(len(download) / 4 / vector.size, 3),
        "largest_error": float(np.abs(opened - 2 * vector.astype(np.float64)).max()),
    }


if __name__ == "__main__":
    main()
