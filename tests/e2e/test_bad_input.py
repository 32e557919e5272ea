"""Bad input at the real commands: a sentence that says what to do, the documented code, nothing half-written."""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
import yaml
from pydicom.uid import CTImageStorage, generate_uid

from deploy.consortium.authority import Authority
from privacy.channel.member import Member, Role
from privacy.errors import (
    AlreadyRunning,
    BudgetExceeded,
    ConfigError,
    DataError,
    IdentityError,
    PolicyRefused,
    StorageError,
    StudyError,
    Unreachable,
)
from privacy.ledger.facts import software
from silo_node import PACKAGES
from silo_node.cohorts.ingestion import open_cohort
from silo_node.state import StateDirectory
from tests.consortium import Consortium
from tests.e2e import commands
from tests.e2e.commands import Ended, file_limit
from tests.e2e.scene import (
    AGGREGATOR,
    COHORT,
    CONSORTIUM,
    SILOS,
    STUDY,
    Copied,
    Scene,
    contents,
    end,
    kinds,
    ledger,
    leftovers,
    wait,
)

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]
NORTH = SILOS[0]


def only_grew(scene: Scene, before: dict[str, tuple[int, str]], silo: str, entries: Sequence[str]) -> None:
    """The silo's state is as before, but for these new entries of its ledger."""
    after = contents(scene.state(silo))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == ({"ledger/entries.jsonl", "ledger/head.json"} if entries else set())
    all_kinds = kinds(scene.entries(silo))
    assert all_kinds[len(all_kinds) - len(entries) :] == list(entries)


def approve(scene: Scene, study: Path | None = None, silo: str = NORTH) -> Ended:
    return commands.run("silo", *scene.approve_arguments(silo, study))


def take_part(scene: Scene, port: int = 1, silo: str = NORTH, under: Sequence[str] = ()) -> Ended:
    """`run` with little patience; port 1 of this machine answers nobody."""
    at = ("--aggregator", f"localhost:{port}", "--patience", "1")
    return commands.run("silo", "run", "--state", scene.state(silo), *at, under=under)


# ---- the study


def test_an_unknown_key_of_a_draft_is_named_with_its_line(founded: Scene, tmp_path: Path) -> None:
    draft = founded.study.with_suffix(".draft.yaml").read_text()
    (tmp_path / "draft.yaml").write_text(draft + "surprise: 1\n")
    output = tmp_path / "study.yaml"
    ended = commands.run(
        "consortium", "study", "sign", tmp_path / "draft.yaml", "--dir", founded.consortium, "-o", output
    )
    line = draft.count("\n") + 1
    ended.refused(ConfigError, "config.invalid", f"draft.yaml line {line}: unknown key 'surprise'; remove it")
    assert not output.exists()


def test_an_unknown_key_of_a_signed_study_is_named_with_its_line(founded: Scene, tmp_path: Path) -> None:
    lines = founded.study.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("  training:")) + 1
    lines.insert(place, "    batch: 3\n")
    study = tmp_path / "study.yaml"
    study.write_text("".join(lines))
    before = contents(founded.state(NORTH))
    approve(founded, study).refused(
        ConfigError, "config.invalid", f"study.yaml line {place + 1}: unknown key 'study.training.batch'; remove it"
    )
    only_grew(founded, before, NORTH, [])


def test_an_unsigned_study_is_refused_by_silo_and_aggregator(founded: Scene) -> None:
    draft = founded.study.with_suffix(".draft.yaml")
    before = contents(founded.state(NORTH)), contents(founded.aggregator)
    approve(founded, draft).refused(StudyError, "study.unsigned", "ask the consortium for the file")
    serve(founded, draft).refused(StudyError, "study.unsigned", "ask the consortium for the file")
    assert (contents(founded.state(NORTH)), contents(founded.aggregator)) == before


def test_an_altered_study_is_refused_by_silo_and_aggregator(founded: Scene, tmp_path: Path) -> None:
    text = founded.study.read_text()
    assert text.count("noise_multiplier: 2.0") == 1
    study = tmp_path / "study.yaml"
    study.write_text(text.replace("noise_multiplier: 2.0", "noise_multiplier: 1.0"))
    before = contents(founded.state(NORTH)), contents(founded.aggregator)
    approve(founded, study).refused(StudyError, "study.altered", "ask the consortium for the original")
    serve(founded, study).refused(StudyError, "study.altered", "ask the consortium for the original")
    assert (contents(founded.state(NORTH)), contents(founded.aggregator)) == before


def test_a_study_altered_after_its_approval_is_not_run(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    kept = scene.state(NORTH) / "studies" / STUDY / "study.yaml"
    kept.write_text(kept.read_text().replace("noise_multiplier: 2.0", "noise_multiplier: 1.0"))
    before = contents(scene.state(NORTH))
    take_part(scene).refused(StudyError, "study.altered", "ask the consortium for the original")
    only_grew(scene, before, NORTH, [])


def test_nothing_is_trained_without_an_approval(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state(NORTH))
    take_part(scene).refused(PolicyRefused, "policy.not_approved", "approve one first with 'collegium-silo approve'")
    named = commands.run("silo", "run", "--state", scene.state(NORTH), "--aggregator", "localhost:1", "--study", STUDY)
    named.refused(PolicyRefused, "policy.not_approved", "run 'collegium-silo approve' first")
    only_grew(scene, before, NORTH, [])


def test_a_silo_that_is_not_on_the_roster_is_told_so(second: Path, founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state("hill"))
    ended = commands.run("silo", *scene.approve_arguments("hill", second, silos=("north", "harbour")))
    ended.refused(StudyError, "study.not_on_roster", "ask the consortium to sign a study that names it")
    only_grew(scene, before, "hill", ["refused"])
    assert not (scene.state("hill") / "studies").exists()


@pytest.mark.slow
def test_a_hospital_that_nobody_confirmed_stops_the_approval(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.state(NORTH))
    arguments = scene.approve_arguments(NORTH, silos=("north", "harbour"))
    commands.run("silo", *arguments).refused(PolicyRefused, "policy.unconfirmed", "code with hill first")
    only_grew(scene, before, NORTH, ["refused"])


# ---- the budget


@pytest.fixture(scope="session")
def second(founded: Scene, shared: Path) -> Path:
    """Another study of the same consortium, for north and harbour alone."""
    from tests.e2e.conftest import made_once

    def build(folder: Path) -> None:
        folder.mkdir()
        roster = {"silos": ["north", "harbour"]}
        Scene(founded.root).sign(folder / "study.yaml", name="opacity-again", roster=roster)

    return made_once(shared, "second", build).root / "study.yaml"


def test_a_study_above_the_hospitals_cap_is_refused(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    scene.set_policy(NORTH, max_epsilon=1.0)
    before = contents(scene.state(NORTH))
    approve(scene).refused(PolicyRefused, "policy.refused", "its epsilon is above max_epsilon 1.0; change silo.yaml")
    only_grew(scene, before, NORTH, ["refused"])


def test_a_cap_lowered_after_the_approval_stops_the_run(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    scene.set_policy(NORTH, max_epsilon=1.0)
    before = contents(scene.state(NORTH))
    take_part(scene).refused(PolicyRefused, "policy.refused", "its epsilon is above max_epsilon 1.0; change silo.yaml")
    only_grew(scene, before, NORTH, ["refused"])


@pytest.mark.slow
def test_a_second_study_on_a_spent_cohort_exceeds_its_budget(second: Path, finished: Scene, copied: Copied) -> None:
    scene = copied(finished)
    before = contents(scene.state(NORTH))
    ended = commands.run("silo", *scene.approve_arguments(NORTH, second, silos=("north", "harbour")))
    said = ended.refused(BudgetExceeded, "budget.exceeded", "use another cohort, or a study with more noise")
    assert f"cohort '{COHORT}'" in said
    only_grew(scene, before, NORTH, ["refused"])


# ---- certificates


def test_an_expired_certificate_is_refused_before_anything_is_read(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    long_ago = datetime.now(UTC) - timedelta(days=400)
    authority = Authority.open(scene.consortium)
    admission = authority.renew(Member(CONSORTIUM, Role.SILO, NORTH), long_ago)
    before = contents(scene.state(NORTH))
    file = scene.paper / "expired"
    file.write_text(admission.model_dump_json())
    enrolled = commands.run("silo", "enrol", file, "--state", scene.state(NORTH))
    enrolled.refused(IdentityError, "identity.expired", "renew it with 'collegium-consortium renew' and 'enrol'")
    only_grew(scene, before, NORTH, [])

    (scene.state(NORTH) / "identity" / "certificate.pem").write_text(admission.certificate)
    before = contents(scene.state(NORTH))
    take_part(scene).refused(
        IdentityError, "identity.expired", "renew it with 'collegium-consortium renew' and 'enrol'"
    )
    only_grew(scene, before, NORTH, [])


def test_an_aggregator_with_an_expired_certificate_does_not_serve(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    authority = Authority.open(scene.consortium)
    admission = authority.renew(
        Member(CONSORTIUM, Role.AGGREGATOR, AGGREGATOR), datetime.now(UTC) - timedelta(days=400)
    )
    (scene.aggregator / "identity" / "certificate.pem").write_text(admission.certificate)
    serve(scene).refused(IdentityError, "identity.expired", "renew it with 'collegium-consortium renew' and 'enrol'")


@pytest.mark.slow
def test_an_aggregator_of_another_consortium_is_not_talked_to(approved: Scene, copied: Copied, tmp_path: Path) -> None:
    scene = copied(approved)
    wear_foreign_certificate(scene, tmp_path)
    with scene.serving() as server:
        ended = take_part(scene, server.port)
    ended.refused(IdentityError, "identity.foreign", "is not of your consortium; check the address")
    assert "round_opened" not in kinds(scene.entries(NORTH))
    assert "key_material" not in kinds(ledger(scene.aggregator))


def wear_foreign_certificate(scene: Scene, folder: Path) -> None:
    """North's certificate and CA are now those of a consortium of the same name that somebody else founded."""
    folder = folder / "foreign"
    folder.mkdir()
    foreign = Consortium(folder, CONSORTIUM)
    foreign.silo(NORTH)
    for name in ("certificate.pem", "ca.pem", "tls.key"):
        shutil.copy(foreign.state(NORTH) / "identity" / name, scene.state(NORTH) / "identity" / name)


def test_an_admission_by_another_consortium_is_refused(founded: Scene, copied: Copied, tmp_path: Path) -> None:
    scene = copied(founded)
    (tmp_path / "other").mkdir()
    other = Consortium(tmp_path / "other", CONSORTIUM)
    other.silo(NORTH)
    before = contents(scene.state(NORTH))
    admission = tmp_path / "other" / f"silo-{NORTH}.admission.json"
    ended = commands.run("silo", "enrol", admission, "--state", scene.state(NORTH))
    assert ended.code == IdentityError.exit_code
    assert ended.err.count("\n") == 1
    only_grew(scene, before, NORTH, [])


# ---- images and labels


def test_broken_dicom_is_quarantined_and_stops_nothing(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    archive = scene.data(NORTH) / "dicom"
    for path in archive.glob("BROKEN*"):
        path.unlink()
    whole = archive / "IM00000.dcm"
    data = whole.read_bytes()
    other = pydicom.dcmread(whole)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.save_as(archive / "half.dcm")
    (archive / "half.dcm").write_bytes((archive / "half.dcm").read_bytes()[: len(data) // 2])
    (archive / "header.dcm").write_bytes(data[:300])
    (archive / "letter.dcm").write_bytes(b"Dear colleague, thank you for sending us this patient.\n")
    (archive / "nothing.dcm").write_bytes(b"")
    (archive / "copy.dcm").write_bytes(data)
    (archive / "link.dcm").symlink_to(whole)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.Modality, other.SOPClassUID = "CT", CTImageStorage
    other.file_meta.MediaStorageSOPClassUID = CTImageStorage
    other.save_as(archive / "slice.dcm")
    ended = commands.run(
        "silo", "ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH), "--json"
    ).well()
    assert ended.err == ""
    put_aside = dict(reversed(item.split(" ")) for item in ended.data()["quarantined"])
    assert put_aside == {
        "dicom.truncated": "1",
        "file.not_regular": "1",
        "header.not_dicom": "2",
        "header.truncated": "1",
        "series.duplicate_instance": "1",
        "series.no_geometry": "1",
    }
    assert open_cohort(StateDirectory(scene.state(NORTH)), "again").digest == scene.entries(NORTH)[-1].body["digest"]


def test_a_label_for_a_patient_that_is_not_there_keeps_nothing(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    labels = scene.data(NORTH) / "labels.csv"
    with labels.open("a") as file:
        file.write("NOBODY7,1,train\n")
    rows = len(labels.read_text().splitlines())
    before = contents(scene.state(NORTH))
    ended = commands.run("silo", "ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH))
    said = ended.refused(DataError, "labels.no_such_patient", "correct the labels or add files")
    assert f"row {rows} " in said
    assert "NOBODY7" not in said
    only_grew(scene, before, NORTH, [])


def test_a_folder_without_a_usable_image_keeps_nothing(founded: Scene, copied: Copied, tmp_path: Path) -> None:
    scene = copied(founded)
    (tmp_path / "empty").mkdir()
    labels = tmp_path / "labels.csv"
    labels.write_text("patient,label,split\n")
    before = contents(scene.state(NORTH))
    ended = commands.run(
        "silo", "ingest", tmp_path / "empty", "--labels", labels, "--cohort", "again", "--state", scene.state(NORTH)
    )
    ended.refused(DataError, "cohort.empty", "the source is empty")
    only_grew(scene, before, NORTH, [])


@pytest.mark.slow
def test_a_cohort_cannot_be_made_outside_the_state_directory(founded: Scene, copied: Copied) -> None:
    scene = copied(founded)
    before = contents(scene.root / "silos")
    for name in ("../../harbour/cohorts/theirs", "..", ".", "Chest", ""):
        ended = commands.run("silo", "ingest", *scene.archive(NORTH), "--cohort", name, "--state", scene.state(NORTH))
        ended.refused(ConfigError, "config.invalid", "is no name for a cohort")
    assert contents(scene.root / "silos") == before


# ---- the disk


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


# ---- processes and the network


def serve(scene: Scene, study: Path | None = None, listen: str = "127.0.0.1:0", under: Sequence[str] = ()) -> Ended:
    """A `serve` that is expected to be refused."""
    arguments = ("serve", "--state", scene.aggregator, "--study", study or scene.study, "--listen", listen)
    return commands.run("aggregator", *arguments, under=under, patience=60)


def test_one_process_at_a_time_on_a_state_directory(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    first = scene.start_silo(NORTH, 1, patience=60)
    try:
        wait(lambda: scene.progress(NORTH), first)
        take_part(scene).refused(AlreadyRunning, "state.locked", "stop it first")
        approve(scene).refused(AlreadyRunning, "state.locked", "stop it first")
        ingest = ("ingest", *scene.archive(NORTH), "--cohort", "again", "--state", scene.state(NORTH))
        commands.run("silo", *ingest).refused(AlreadyRunning, "state.locked", "stop it first")
        assert first.poll() is None
        assert not (scene.state(NORTH) / "cohorts" / "again").exists()
    finally:
        end(first)
    # The kernel gave the lock back; no file has to be removed by hand.
    ended = commands.run("silo", "export", "--state", scene.state(NORTH), "-o", scene.model(NORTH))
    assert ended.code != AlreadyRunning.exit_code
    assert ended.err.count("\n") == 1


def test_one_aggregator_at_a_time_on_a_state_directory_and_port(founded: Scene, copied: Copied) -> None:
    scene, other = copied(founded), copied(founded)
    with scene.serving() as server:
        serve(scene).refused(AlreadyRunning, "state.locked", "stop it first")
        serve(other, listen=f"127.0.0.1:{server.port}").refused(
            ConfigError, "config.address", "stop the process that holds it or choose another address"
        )


@pytest.mark.slow
def test_an_aggregator_that_is_not_reachable_is_said_so(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    before = kinds(scene.entries(NORTH))
    began = time.monotonic()
    take_part(scene).refused(Unreachable, "peer.unreachable", "start the aggregator, or check the address")
    assert time.monotonic() - began < 120
    assert kinds(scene.entries(NORTH)) == [*before, "software"]  # no key is made, nothing is reserved or read


@pytest.mark.slow
def test_something_else_at_the_aggregators_address_is_said_so(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = take_part(scene, listener.getsockname()[1])
    assert ended.code == Unreachable.exit_code
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err


# ---- arguments and files that are not there


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("silo", ("run", "--state", "nowhere", "--aggregator", "localhost:1")),
        ("silo", ("export", "--state", "nowhere", "-o", "model")),
        ("silo", ("ingest", "nowhere", "--labels", "none.csv", "--cohort", "chest", "--state", "nowhere")),
        ("silo", ("enrol", "none.json", "--state", "nowhere")),
        ("aggregator", ("serve", "--state", "nowhere", "--study", "none.yaml", "--listen", "127.0.0.1:0")),
        ("consortium", ("admit", "none.json", "--dir", "nowhere", "-o", "admission.json")),
        ("consortium", ("study", "explain", "none.yaml")),
        ("consortium", ("study", "sign", "none.yaml", "--dir", "nowhere", "-o", "study.yaml")),
        ("compliance", ("report", "nowhere", "-o", "report")),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(program: str, arguments: tuple[str, ...]) -> None:
    ended = commands.run(program, *arguments)
    assert ended.code in {2, 6, 8}, ended
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_files_that_cannot_be_written_are_said_in_one_sentence(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    nowhere = scene.root / "nowhere" / "file"
    run = ("run", "--state", scene.state(NORTH), "--aggregator", "localhost:1", "--progress-json", nowhere)
    commands.run("silo", *run).refused(StorageError, "storage.failed", "cannot write file")
    port = ("--listen", "127.0.0.1:0", "--port-file", nowhere)
    ended = commands.run("aggregator", "serve", "--state", scene.aggregator, "--study", scene.study, *port, patience=60)
    ended.refused(StorageError, "storage.failed", "cannot write file")


def test_an_unfinished_study_is_not_exported(approved: Scene, tmp_path: Path) -> None:
    ended = commands.run("silo", "export", "--state", approved.state(NORTH), "-o", tmp_path / "model")
    ended.refused(ConfigError, "export.unfinished", "run it to its end first")
    assert not (tmp_path / "model").exists()


def test_a_policy_with_an_unknown_key_is_named_with_its_line(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    policy = scene.state(NORTH) / "silo.yaml"
    content = yaml.safe_load(policy.read_text())
    content["policy"]["allow_everything"] = True
    policy.write_text(yaml.safe_dump(content))
    line = policy.read_text().splitlines().index("  allow_everything: true") + 1
    take_part(scene).refused(ConfigError, "config.invalid", f"silo.yaml line {line}: unknown key")
