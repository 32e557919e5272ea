"""A disk that is full stops a command with a sentence, and room lets it go on."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from privacy.errors import (
    DataError,
    StorageError,
)
from privacy.ledger.facts import software
from silo_node import PACKAGES
from silo_node.state import StateDirectory
from tests.e2e import commands
from tests.e2e.commands import file_limit
from tests.e2e.processes import end, wait
from tests.e2e.refused import NORTH, approve, only_grew, serve, take_part
from tests.e2e.scene import Copied, Scene
from tests.e2e.state_folders import contents, kinds, ledger, leftovers

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]


@pytest.mark.slow
def test_a_full_disk_refuses_an_approval_and_room_lets_it_go_on(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state(NORTH))
    size = (scene.state(NORTH) / "ledger" / "entries.jsonl").stat().st_size
    ended = commands.run("silo", *scene.approve_arguments(NORTH), under=file_limit(size + 100))
    ended.refused(StorageError, "storage.full", "free some space, then start again")
    only_grew(scene, before, NORTH, [])
    approve(scene).well()


def test_a_cohort_that_the_ledger_could_not_record_is_not_kept(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    journal = scene.state(NORTH) / "ledger" / "entries.jsonl"
    pad_ledger(scene, NORTH, 400_000)  # so that the limit stops the ledger and no image
    before = contents(scene.state(NORTH))
    arguments = ("silo", "ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH))
    ended = commands.run(*arguments, under=file_limit(journal.stat().st_size + 100))
    ended.refused(StorageError, "storage.full", "free some space, then start again")
    pad_ledger(scene, NORTH, 0)  # opening the ledger removes details whose entry was never written
    only_grew(scene, before, NORTH, [])
    commands.run(*arguments).well()


def pad_ledger(scene: Scene, silo: str, size: int) -> None:
    """Entries until the ledger is that large; what runs is among them, so that no run has to enter it first."""
    directory = StateDirectory(scene.state(silo))
    with directory.open_ledger(directory.identity()) as book:
        software.enter(book, PACKAGES)
        while (directory.root / "ledger" / "entries.jsonl").stat().st_size < size:
            book.append("incident", {"code": "test.padding", "detail": "x" * 10_000})


@pytest.mark.slow
def test_a_full_disk_stops_a_run_before_anything_is_read_or_sent(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    pad_ledger(scene, NORTH, 600_000)  # so that the limit stops the ledger and no memory file
    size = (scene.state(NORTH) / "ledger" / "entries.jsonl").stat().st_size
    entries = scene.entries(NORTH)
    with scene.serving() as server:
        ended = take_part(scene, server.port, under=file_limit(size + 100))
    ended.refused(StorageError, "storage.full", "free some space")
    assert scene.entries(NORTH) == entries
    # With room again the key that was made is used, and the ledger has it.
    with scene.serving() as server:
        process = scene.start_silo(NORTH, server.port)
        try:
            # The bytes, since an entry that is being written cannot be read as one.
            book = scene.state(NORTH) / "ledger" / "entries.jsonl"
            wait(lambda: b'"key_granted"' in book.read_bytes(), process)
            time.sleep(0.2)
        finally:
            end(process)
    assert kinds(scene.entries(NORTH))[len(entries) :][:1] == ["key_granted"]


def test_a_full_disk_stops_the_aggregator(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    ended = serve(scene, under=file_limit(100))
    ended.refused(StorageError, "storage.full", "free some space, then start again")
    with scene.serving():
        pass
    assert kinds(ledger(scene.aggregator)) == ["enrolled", "software", "study_published"]


TINY_DISK = """
set -e
mount -t tmpfs -o size=1m tmpfs "$1"
cp -a "$2/." "$1"
dd if=/dev/zero of="$1/filler" bs=4096 2>/dev/null || true
dd if=/dev/null of="$1/filler" bs=4096 seek="$(( $(stat -c %s "$1/filler") / 4096 - $3 ))" 2>/dev/null
code=0
shift 3
"$@" || code=$?
rm "$0/filler"
cp -a "$0/." "$COPY"
exit $code
"""
"""A file system of 1 MB with the state in it and so many pages left; the command; what is there afterwards."""


def may_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("pages", [0, 1])
def test_a_disk_that_is_really_full_leaves_the_ledger_as_it_was_or_whole(
    pages: int, founded: Scene, tmp_path: Path
) -> None:
    if not may_mount():
        pytest.skip("this system does not let a test mount a small file system")
    disk, state, copy = tmp_path / "disk", tmp_path / "state", tmp_path / "copy"
    for folder in (disk, copy):
        folder.mkdir()
    shutil.copytree(founded.state(NORTH), state, ignore=shutil.ignore_patterns("cohorts", "volumes"))
    arguments = [
        part if part != founded.state(NORTH) else disk for part in founded.approve_arguments("north", silos=())
    ]
    wrapper = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", TINY_DISK, str(disk))
    ended = commands.run(
        "silo", *arguments, under=(*wrapper, str(disk), str(state), str(pages)), environment={"COPY": str(copy)}
    )
    # The cohort is not there, so that the approval is refused, and the refusal is to be recorded.
    if ended.code == StorageError.exit_code:
        ended.refused(StorageError, "storage.full", "free some space, then start again")
        assert ledger(copy) == ledger(state)
    else:
        assert ended.code == DataError.exit_code, ended
        assert kinds(ledger(copy)) == [*kinds(ledger(state)), "refused"]
    if pages == 0:
        assert ended.code == StorageError.exit_code
    assert leftovers(copy) == []
