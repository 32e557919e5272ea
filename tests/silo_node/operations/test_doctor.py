"""Every check of a silo's machine, provoked."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from privacy.errors import CollegiumError, IdentityError, StorageError, Unreachable
from privacy.operations import machine
from privacy.operations.findings import Doubtful
from silo_node.egress.log import FOLDER
from silo_node.operations import doctor
from tests.consortium import Consortium
from tests.silo_node.operations.site import POLICY, Site


def row(site: Site, check: str, *more: object) -> dict[str, Any]:
    import json

    ended = site.run("doctor", "--json", *more)
    (found,) = [one for one in json.loads(ended.stdout.splitlines()[0])["checks"] if one["check"] == check]
    assert isinstance(found, dict)
    if found["state"] == "failed":
        assert isinstance(ended.exception, CollegiumError)
    return found


def test_a_silo_that_is_well(site: Site) -> None:
    ended = site.run("doctor")
    assert ended.exit_code == 0, ended.output
    for check in (
        "name",
        "key permissions",
        "token",
        "certificate",
        "clock",
        "roster statement",
        "ledger",
        "versions",
        "disk",
        "memory",
        "GPU",
    ):
        assert check in ended.output


def test_a_key_that_others_may_read(site: Site) -> None:
    (site.state / "identity" / "hpke.key").chmod(0o644)
    found = row(site, "key permissions")
    assert (found["state"], found["code"]) == ("failed", "identity.exposed_key")
    assert "chmod 600" in found["mend"]


@pytest.mark.parametrize(
    "name", ["proxy.url", "pseudonyms-trial.sqlite", "patients/chest-00.bin", "egress/000001.jsonl"]
)
def test_any_secret_file_that_others_may_read(site: Site, name: str) -> None:
    file = site.state / name
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text("http://it:s3cret@proxy:3128\n")
    file.chmod(0o640)
    try:
        found = row(site, "key permissions")
        assert (found["state"], found["code"]) == ("failed", "identity.exposed_key")
        assert name in found["found"]
        file.chmod(0o600)
        assert row(site, "key permissions")["state"] == "ok"
    finally:
        file.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_secret_of_another_user(site: Site) -> None:
    """As it is after somebody ran a command with sudo: the silo's own user cannot read it any more."""
    file = site.state / "cosigner.key"
    file.write_bytes(b"")
    file.chmod(0o600)
    os.chown(file, 12345, -1)
    found = row(site, "key permissions")
    assert (found["state"], found["code"]) == ("failed", "identity.other_owner")
    assert "chown" in found["mend"]
    file.unlink()
    os.chown(site.state, 12345, -1)
    found = row(site, "user")
    os.chown(site.state, 0, -1)
    assert found["state"] == "warning"
    assert "sudo -u" in found["mend"]


def test_a_state_directory_that_others_may_write_to(site: Site) -> None:
    site.state.chmod(0o777)
    assert row(site, "key permissions")["code"] == "identity.exposed_state"


def test_a_ledger_that_was_changed(site: Site) -> None:
    file = site.state / "ledger" / "entries.jsonl"
    file.write_bytes(file.read_bytes().replace(b"Ada Roe", b"Bea Roe"))
    found = row(site, "ledger")
    assert (found["state"], found["code"]) == ("failed", "ledger.damaged")


def test_what_is_wrong_with_a_ledger_is_said(site: Site) -> None:
    folder = site.state / "ledger"
    entries = (folder / "entries.jsonl").read_bytes()
    (folder / "entries.jsonl").write_bytes(entries[:-20])
    found = row(site, "ledger")
    assert "entries.jsonl entry 1" in found["found"]
    assert "ledger fsck" in found["mend"]
    assert row(site, "clock")["state"] == "skipped"
    (folder / "entries.jsonl").write_bytes(entries)
    (folder / "origin.json").rename(site.state / "origin")
    assert row(site, "ledger")["code"] == "ledger.damaged"
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert row(site, "ledger")["code"] == "ledger.missing", "a study was approved here"


def test_what_needs_the_identity_is_not_looked_at_without_it(site: Site) -> None:
    (site.state / "identity" / "tls.key").unlink()
    assert row(site, "name")["code"] == "identity.missing_key"
    assert {row(site, check)["state"] for check in ("token", "certificate", "ledger")} == {"skipped"}


def test_a_policy_that_allows_nothing_or_is_damaged(site: Site) -> None:
    (site.state / "silo.yaml").write_text(yaml.safe_dump({"policy": {**POLICY, "cohorts": []}}))
    assert row(site, "policy")["state"] == "warning"
    (site.state / "silo.yaml").write_text("policy: 3")
    assert row(site, "policy")["state"] == "failed"


def test_a_silo_that_is_not_enrolled(site: Site) -> None:
    (site.state / "identity" / "consortium.json").unlink()
    assert row(site, "name", "--aggregator", "localhost:1")["code"] == "identity.not_enrolled"
    assert not (site.state / FOLDER).exists(), "nothing left, so there is no log of it"


def test_an_aggregator_that_is_not_there(site: Site) -> None:
    assert row(site, "connection", "--aggregator", "localhost:1")["code"] == "peer.unreachable"


def test_an_archive_that_is_not_there(site: Site, tmp_path: Path) -> None:
    found = row(site, "PACS echo", "--pacs", tmp_path / "none.yaml")
    assert found["state"] == "failed"


def test_certificates(site: Site, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    until = site.directory.identity().certificate.not_valid_after_utc
    with pytest.raises(Doubtful, match="9 days left"):
        machine.certificate(site.state, until - timedelta(days=9, hours=1))
    with pytest.raises(IdentityError):
        machine.certificate(site.state, until + timedelta(days=1))
    assert "days left" in machine.certificate(site.state, now)
    (tmp_path / "other").mkdir()
    other = Consortium(tmp_path / "other")
    other.silo("north", now - timedelta(days=400))
    with pytest.raises(IdentityError):
        machine.certificate(other.state("north"), now)


def test_a_clock_that_is_behind(site: Site) -> None:
    with pytest.raises(IdentityError, match="behind"):
        machine.clock(site.state, datetime.now(UTC) - timedelta(hours=1))


def test_a_statement_says_what_a_clock_cannot_be(site: Site) -> None:
    now = datetime.now(UTC)
    assert doctor.statement(site.directory, now) == "none seen yet"
    memory = site.directory.statements(site.directory.identity())
    memory.take(site.consortium.roster_statement(days=9, now=now), now)
    assert doctor.statement(site.directory, now + timedelta(hours=1)) == "serial 1, 8 days left"
    with pytest.raises(Doubtful, match="2 days left"):
        doctor.statement(site.directory, now + timedelta(days=6, hours=1))
    for wrong, kind, code in (
        (-timedelta(hours=1), IdentityError, "roster.not_yet_valid"),
        (timedelta(days=10), Unreachable, "roster.expired"),
    ):
        with pytest.raises(kind) as raised:
            doctor.statement(site.directory, now + wrong)
        assert raised.value.code == code


def test_the_way_is_looked_at_through_the_proxy_of_the_state_directory(site: Site) -> None:
    path = site.state / "proxy.url"
    path.write_text("http://127.0.0.1:1\n")
    path.chmod(0o600)
    found = row(site, "proxy", "--aggregator", "aggregator.example.org:8443")
    assert (found["state"], found["code"]) == ("failed", "peer.proxy")


def test_the_line_is_told_and_its_files_have_to_agree(site: Site) -> None:
    assert row(site, "line")["found"] == "mutual TLS"
    authorities, config = site.state / "proxy-ca.pem", site.state / "silo.yaml"
    before = config.read_text()
    try:
        authorities.write_bytes((site.state / "identity" / "ca.pem").read_bytes())
        assert row(site, "line")["state"] == "warning"
        config.write_text(f"{before}one_way_tls: true\n")
        assert "every message is signed" in row(site, "line")["found"]
        authorities.write_text("no certificate")
        assert row(site, "line")["code"] == "config.proxy_ca"
        authorities.unlink()
        assert row(site, "line")["code"] == "config.proxy_ca"
    finally:
        config.write_text(before)
        authorities.unlink(missing_ok=True)


def test_a_full_disk_and_little_memory(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Usage:
        free = 2**20

    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(StorageError):
        machine.disk(site.state)
    Usage.free = 2**30
    with pytest.raises(Doubtful):
        machine.disk(site.state)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 1048576 kB\n")
    with pytest.raises(Doubtful):
        machine.memory(2**31, tmp_path / "meminfo")


def test_a_disk_that_is_read_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    with pytest.raises(StorageError, match="read-only"):
        machine.disk(site.state)


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable: 9000000 kB\n")
    assert "limit" not in machine.memory(2**31, tmp_path / "meminfo", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert "limit" not in machine.memory(2**31, tmp_path / "meminfo", tmp_path)
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    with pytest.raises(Doubtful, match="raise that limit"):
        machine.memory(2**31, tmp_path / "meminfo", tmp_path)
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{2**30}\n")
    with pytest.raises(Doubtful, match="raise that limit"):
        machine.memory(2**31, tmp_path / "meminfo", tmp_path)


def test_the_folder_of_a_rounds_secrets_is_the_one_of_run(site: Site, tmp_path: Path) -> None:
    assert row(site, "memory for secrets")["state"] == "ok"
    assert row(site, "memory for secrets", "--runtime", "/dev/shm")["state"] == "ok"
    mounts = tmp_path / "mountinfo"
    line = "1 0 0:1 / {} rw - {} none rw\n"
    mounts.write_text(line.format("/", "ext4") + line.format(tmp_path / "ram\\040disk", "tmpfs"))
    (tmp_path / "ram disk").mkdir()
    assert "--runtime" in doctor.memory_for_secrets(site.state, tmp_path / "ram disk" / "new", mounts)
    with pytest.raises(Doubtful, match="on a disk"):
        doctor.memory_for_secrets(site.state, tmp_path / "elsewhere", mounts)


def test_no_memory_for_a_rounds_secrets(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("silo_node.rounds.round_vault.MEMORY", tmp_path / "none")
    found = row(site, "memory for secrets")
    assert (found["state"], found["code"]) == ("failed", "config.invalid")
    assert row(site, "memory for secrets", "--runtime", "/dev/shm")["state"] == "ok"
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StorageError):
        doctor.memory_for_secrets(site.state, tmp_path)


def test_a_processor_for_training(tmp_path: Path) -> None:
    assert "none" in doctor.gpu(tmp_path / "none")
    (tmp_path / "version").write_text("NVRM version: made up\nGCC\n")
    assert doctor.gpu(tmp_path / "version").endswith("NVRM version: made up")
