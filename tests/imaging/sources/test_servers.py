"""Runs the tests in `real_archives` in a network namespace with loopback only: none reaches it, it reaches nobody."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imaging.sources.real_archives.servers import NEEDED, PATHS, PLUGIN

ROOT = Path(__file__).parents[3]
ALONE = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def lacking() -> str | None:
    """What is missing for these tests on this machine."""
    missing = [name for name in NEEDED if shutil.which(name, path=PATHS) is None]
    if missing or not Path(PLUGIN).exists():
        return f"install orthanc, orthanc-dicomweb, dcmtk and iproute2 (no {', '.join(missing) or 'DICOMweb plugin'})"
    tried = subprocess.run([*ALONE, "true"], capture_output=True, check=False, env={**os.environ, "PATH": PATHS})
    return "unshare -rn is not permitted here" if tried.returncode else None


@pytest.mark.slow
@pytest.mark.parametrize("which", ["not slow", "slow"])
def test_pulls_from_real_archives(which: str) -> None:
    reason = lacking()
    if reason and os.environ.get("COLLEGIUM_REQUIRE_SERVERS") != "1":
        pytest.skip(reason)
    assert reason is None
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    command += ["-o", "python_files=real_*.py"]
    ended = subprocess.run(
        [*ALONE, *command, "-rs", "-m", which, "tests/imaging/sources/real_archives"],
        cwd=ROOT,
        env={**os.environ, "PATH": PATHS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\b[1-9][0-9]* passed", ended.stdout), ended.stdout
    assert "skipped" not in ended.stdout
