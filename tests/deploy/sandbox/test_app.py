import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

PROGRAM = str(Path(sys.executable).parent / "collegium-sandbox")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["file,patient,label"]
    for number in range(40):
        Image.fromarray(random.integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,p{number},{number % 2}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def of_folder(folder: Path) -> list[psutil.Process]:
    """Processes that have the folder in their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "run", *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_an_interrupt_ends_everything_with_its_own_exit_code(tmp_path: Path, images: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen([PROGRAM, "run", "--data", str(images), "--out", str(out)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(out.glob("logs/*enrol*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert of_folder(out) == []


@pytest.mark.slow
def test_a_failing_step_is_named_with_its_last_words(tmp_path: Path, images: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        (Path(__file__).parents[3] / "deploy/samples/study.yaml").read_text().replace("clip: 2.0", "clip: -1.0")
    )
    done = sandbox("--data", str(images), "--out", str(tmp_path / "out"), "--study", str(tmp_path / "study.yaml"))
    assert done.returncode == 1
    assert "the step 'sign' (collegium-consortium) ended with exit code 2" in done.stderr
    assert "privacy.clip" in done.stderr
    assert of_folder(tmp_path / "out") == []


def test_a_folder_of_somebody_else_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = sandbox("--out", str(tmp_path))
    assert done.returncode == 2
    assert "choose another --out" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_in_use_is_refused_and_an_old_one_is_cleared(tmp_path: Path, images: Path) -> None:
    from deploy.sandbox import app
    from privacy import durable

    out = tmp_path / "out"
    app._claim(out)
    (out / "old").mkdir()
    with durable.lock(out):
        done = sandbox("--data", str(images), "--out", str(out))
    assert done.returncode == 10
    assert (out / "old").exists()
    app._clear(out)
    assert not (out / "old").exists()
    app._claim(out)


@pytest.mark.parametrize("bad", [("--epsilon", "8", "--no-dp"), ("--data", "absent")])
def test_a_bad_argument_is_one_sentence(tmp_path: Path, bad: tuple[str, ...]) -> None:
    done = sandbox(*bad, "--out", str(tmp_path / "out"))
    assert done.returncode in (2, 11)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_default_demo_learns_and_stays_within_its_promises(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "run", "--out", str(tmp_path / "out"), "--json"], capture_output=True, text=True, timeout=590
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["metrics"]["auc"]["after"] > 0.9 > summary["metrics"]["auc"]["before"]
    assert all(0 < epsilon <= 8 for epsilon in summary["epsilon"].values())
    assert summary["upload_bytes"] < 4 * summary["parameters"] + 25_000
    assert "synthetic" in summary["data"]
    assert (tmp_path / "out" / summary["report"]).exists()
    assert of_folder(tmp_path / "out") == []
