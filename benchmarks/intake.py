"""What taking images in costs: indexing headers, alone and in processes, memory over many files, and epochs from cache.

`python -m benchmarks.intake --json` prints one JSON object. The files are made here: a CT image's whole header with a
little pixel data (`file_bytes` each), under UIDs of their own, in memory (`/dev/shm`) where there is room, so that
the disk is not what is measured. Every scan runs in a process of its own; `per_core` is by processor time of that
process and its workers, the start of the workers included, `per_second` by the clock. Processor time of the process
that keeps the index (`cpu_seconds_of_the_index`) is what does not spread over workers. Peaks are of resident
memory, `--files` files take part in the scan whose memory is measured. The cache is the part of `intake_cache`.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from privacy.digest import Json
from privacy.he.workers import cores

MEASURED = 10_000
"""Files of the scans that are timed."""
PER_FOLDER = 1000
FIRST = 10_000_000
"""Of the numbers in made UIDs: no part of a UID begins with 0."""
KEY = bytes(32)


def main() -> None:
    """Parse, make the files, measure, print."""
    parser = argparse.ArgumentParser(description="What taking images in costs.")
    parser.add_argument("--files", type=int, default=100_000, help="files of the scan whose memory is measured")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="numbers of processes to time")
    parser.add_argument("--folder", type=Path, help="make the files here (the default is memory, if there is room)")
    parser.add_argument("--measure", nargs=3, metavar=("FOLDER", "INDEX", "PROCESSES"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    arguments = parser.parse_args()
    if arguments.measure:
        folder, index, processes = arguments.measure
        result = scan(Path(folder), Path(index), int(processes))
    else:
        from benchmarks import intake_cache  # late: what is measured must not carry the decoders

        with tempfile.TemporaryDirectory(prefix="collegium-intake-", dir=arguments.folder or _memory()) as scratch:
            result = {"cores": cores(), **headers(Path(scratch), arguments.files, arguments.processes)}
        result["cache"] = dict(intake_cache.measure())
    print(json.dumps(result, indent=None if arguments.json else 2))


def headers(folder: Path, files: int, processes: list[int]) -> dict[str, Json]:
    """Indexing: the first `MEASURED` files by each number of processes, then all, then all again unchanged."""
    size = make(folder / "files", 0, min(MEASURED, files))
    timed = {str(count): alone(folder / "files", folder / f"index-{count}", count) for count in processes}
    make(folder / "files", min(MEASURED, files), files)
    most = max(processes)
    return {
        "file_bytes": size,
        "headers": {"files": min(MEASURED, files), "by_processes": timed},
        "all_files": {
            "files": files,
            "first": alone(folder / "files", folder / "index", most),
            "again": alone(folder / "files", folder / "index", most),
            "index_bytes": sum(path.stat().st_size for path in folder.glob("index")),
        },
    }


def make(folder: Path, first: int, last: int) -> int:
    """Write files first..last-1, ten to a series, two series to a patient; the bytes of one."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    sample = dcmread(get_testdata_file("CT_small.dcm"))
    sample.Rows = sample.Columns = 8
    sample.PixelData = bytes(128)
    names = {"SOPInstanceUID": "1.2.3.4.1.10000000", "SeriesInstanceUID": "1.2.3.4.2.10000000"}
    names |= {"StudyInstanceUID": "1.2.3.4.3.10000000", "PatientID": "P-10000000"}
    for keyword, value in names.items():
        setattr(sample, keyword, value)
    sample.file_meta.MediaStorageSOPInstanceUID = names["SOPInstanceUID"]
    folder.mkdir(exist_ok=True)
    template = folder / "template"
    sample.save_as(template, enforce_file_format=True)
    data = template.read_bytes()
    template.unlink()
    for number in range(first, last):
        place = folder / f"{number // PER_FOLDER:04d}"
        if number % PER_FOLDER == 0 or number == first:
            place.mkdir(exist_ok=True)
        own = data
        for value, mine in zip(names.values(), (number, number // 10, number // 20, number // 20), strict=True):
            own = own.replace(value.encode(), (value[:-8] + f"{FIRST + mine}").encode())
        (place / f"{number:08d}.dcm").write_bytes(own)
    return len(data)


def alone(folder: Path, index: Path, processes: int) -> dict[str, Json]:
    """A scan in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.intake", "--measure", str(folder), str(index), str(processes)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, Json] = json.loads(ended.stdout)
    return measured


def scan(folder: Path, index: Path, processes: int) -> dict[str, Json]:
    """Bring an index up to date, and say what it took."""
    from imaging.deidentification import Pseudonyms
    from imaging.sources.catalogue import Catalogue

    with Catalogue(index, folder, Pseudonyms(KEY)) as catalogue:
        used, began = time.process_time(), time.perf_counter()
        summary = catalogue.scan(processes)
        seconds = time.perf_counter() - began
    if summary.rejected:
        raise RuntimeError("the made files are not what they should be")
    own = time.process_time() - used
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = own + workers.ru_utime + workers.ru_stime
    return {
        "files": summary.files,
        "read": summary.read,
        "seconds": round(seconds, 2),
        "per_second": round(summary.files / seconds),
        "cpu_seconds": round(busy, 2),
        "cpu_seconds_of_the_index": round(own, 2),
        "per_core": round(summary.files / busy),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "peak_mb_of_a_worker": workers.ru_maxrss // 1024 if processes > 1 else 0,
    }


def _memory() -> str | None:
    """Memory to make files in, where there is some; None = the usual temporary folder."""
    memory = Path("/dev/shm")  # noqa: S108 - a name of the system, inside which a folder of our own is made
    needed = 2 * 2**30
    return str(memory) if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > needed else None


if __name__ == "__main__":
    main()
