"""Fuzzes every parser that eats bytes of a peer or a disk, guided by coverage: `make fuzz`.

Each target runs in a process of its own, under libFuzzer (atheris), for so many seconds, from its seeds and its kept
corpus. A defect is an error that is not documented, ten seconds for one input, or an allocation beyond the target's
limit; the input is then left in `tests/fuzz/found/`, and belongs into the target's corpus with the mending.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.target import CORPUS

FOUND = Path(__file__).parent / "found"
SLOWEST_SECONDS = 10
RESIDENT_MEGABYTES = 2500
KEPT, KEPT_BYTES = 8, 4096
"""How many inputs of a target are kept, of at most so many bytes: the smallest of those that reached something new."""


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["aggregator", "imaging", "privacy", "silo_node"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": target.longest,
        "timeout": SLOWEST_SECONDS,
        "malloc_limit_mb": target.megabytes,
        "rss_limit_mb": RESIDENT_MEGABYTES,
        "artifact_prefix": f"{FOUND}/{name}-",
        "print_final_stats": 1,
        "verbosity": 0,
        "reload": 0,
    }
    folders = [str(corpus), *([str(CORPUS / name)] if target.kept() else [])]
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), *folders], target.run)
    atheris.Fuzz()


def keep(name: str, corpus: Path) -> None:
    """Keep the smallest of what was found to be interesting."""
    folder = CORPUS / name
    known = {path.read_bytes() for path in folder.glob("*")}
    small = sorted(
        (path for path in corpus.iterdir() if path.stat().st_size <= KEPT_BYTES), key=lambda p: p.stat().st_size
    )
    folder.mkdir(parents=True, exist_ok=True)
    for path in small[: max(0, KEPT - len(known))]:
        if (data := path.read_bytes()) not in known:
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets that are asked for, one after the other, and say how each went."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all if left out: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="add what was interesting to the corpus")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"no target {', '.join(sorted(unknown))}")
    FOUND.mkdir(exist_ok=True)
    failed = []
    for name in asked.targets or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            call = f"import tests.fuzz.__main__ as f; f.fuzz({name!r}, {asked.seconds}, f.Path({folder!r}))"
            done = subprocess.run(
                [sys.executable, "-c", call],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
            executed = [line.split()[-1] for line in done.stdout.splitlines() if "number_of_executed_units" in line]
            well = "FAILED" if done.returncode else "ok"
            print(f"{well:<7} {name:<24} {(executed or ['?'])[0]:>9} inputs", flush=True)
            if done.returncode:
                failed.append(name)
                told = [line for line in done.stdout.splitlines() if not line.startswith("INFO:")]
                print("\n".join(told[-40:]), flush=True)
            elif asked.keep:
                keep(name, Path(folder))
    if failed:
        print(f"inputs that fail are in {FOUND.relative_to(Path.cwd())}; put each into its target's corpus", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
