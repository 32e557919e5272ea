"""Stop, revoke and decommission: each in the ledger with who and why, and each really ends what it says."""

import json
from pathlib import Path

import pytest

from privacy import durable
from privacy.channel import renewal
from privacy.errors import AlreadyRunning, ConfigError, CorruptState, IdentityError, PolicyRefused, StorageError
from privacy.ledger.reader import read
from privacy.operations.live import LiveFile
from silo_node.operations import decommission as ending
from silo_node.operations import revocation
from silo_node.operations.stopping import FILE, StopRequest
from silo_node.rounds.global_model import GlobalModel
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all
from tests.silo_node.operations.holding import held
from tests.silo_node.operations.site import COHORT, Site

WHY = ("--reason", "a vote", "--by", "Ada Roe")


def bodies(site: Site, kind: str) -> list[dict[str, object]]:
    return [dict(entry.body) for entry in site.entries if entry.kind == kind]


# ---- stop


@pytest.mark.slow
def test_silos_stop_between_rounds_and_go_on(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), rounds=2)
    with federation.serving() as program:
        agents = [federation.agent(index, program.port) for index in (1, 2, 3)]
        for agent in agents:
            agent.stop = StopRequest(agent.folder.root.parents[1])
            train = agent.learner.train

            def asking(weights, number, agent=agent, train=train):  # type: ignore[no-untyped-def]
                agent.stop.make("Ada Roe", "maintenance")  # while the round is open
                return train(weights, number)

            agent.learner.train = asking
        stopped = run_all(agents)
        assert [isinstance(model, GlobalModel) and model.round_number for model in stopped] == [1, 1, 1]
        again = [federation.agent(index, program.port) for index in (1, 2, 3)]
        finished = run_all(again)
    assert [isinstance(model, GlobalModel) and model.round_number for model in finished] == [3, 3, 3]
    for index in (1, 2, 3):
        root = tmp_path / f"silo-{index}"
        assert not (root / FILE).exists()
        (entry,) = [entry for entry in read(root / "ledger").entries if entry.kind == "stopped"]
        assert (entry.body["round"], entry.body["by"], entry.body["reason"]) == (1, "Ada Roe", "maintenance")


def test_a_wish_survives_the_process_and_is_fulfilled_once(site: Site) -> None:
    LiveFile(site.state).write({"phase": "waiting", "round": 4})
    assert "after round 4" in site.run("stop", *WHY).output
    assert json.loads((site.state / FILE).read_text())["by"] == "Ada Roe"
    with site.directory.open_ledger(site.directory.identity()) as ledger:
        wish = StopRequest(site.state)
        assert wish.heed(ledger, site.study.digest(), 4)
        assert not wish.heed(ledger, site.study.digest(), 5)
    assert bodies(site, "stopped") == [{"study_digest": site.digest, "round": 4, "by": "Ada Roe", "reason": "a vote"}]


def test_there_is_nothing_to_stop(site: Site) -> None:
    ended = site.run("stop", *WHY)
    assert isinstance(ended.exception, ConfigError)
    assert not (site.state / FILE).exists()


def test_a_damaged_wish_is_told(site: Site) -> None:
    (site.state / FILE).write_text("{}")
    with site.directory.open_ledger(site.directory.identity()) as ledger, pytest.raises(CorruptState):
        StopRequest(site.state).heed(ledger, site.study.digest(), 1)


@pytest.mark.parametrize("words", [("--reason", " "), ("--reason", "x" * 501), ("--reason", "a", "--by", "")])
def test_who_and_why_are_asked_for(site: Site, words: tuple[str, ...]) -> None:
    LiveFile(site.state).write({})
    for command in (("stop",), ("revoke-approval", site.study.name), ("decommission", "--yes")):
        assert isinstance(site.run(*command, *words).exception, ConfigError)
    assert not {entry.kind for entry in site.entries} - {"enrolled", "approved"}


# ---- revoke


def test_a_revoked_approval_is_refused_and_may_be_given_again(site: Site) -> None:
    folder = site.directory.study(site.study.name)
    kept = folder.approval_file.read_bytes()
    assert COHORT in site.run("revoke-approval", site.study.name, *WHY).output
    assert bodies(site, "approval_revoked") == [
        {"study": site.study.name, "study_digest": site.digest, "by": "Ada Roe", "reason": "a vote"}
    ]
    ended = site.run("run", "--aggregator", "localhost:1", "--study", site.study.name)
    assert isinstance(ended.exception, PolicyRefused)
    folder.approval_file.write_bytes(kept)  # a backup came back
    ended = site.run("run", "--aggregator", "localhost:1", "--study", site.study.name, "--patience", 0.1)
    assert isinstance(ended.exception, PolicyRefused)
    assert ended.exception.code == "policy.revoked"
    assert bodies(site, "refused")[-1]["code"] == "policy.revoked"
    site.approve()
    revocation.check(site.entries, site.study.digest())


def test_what_was_not_approved_cannot_be_revoked(site: Site) -> None:
    ended = site.run("revoke-approval", "other", *WHY)
    assert isinstance(ended.exception, PolicyRefused)
    assert not bodies(site, "approval_revoked")


def test_a_running_silo_has_to_stop_first(site: Site) -> None:
    with held(site.state):
        assert isinstance(site.run("revoke-approval", site.study.name, *WHY).exception, AlreadyRunning)
        assert isinstance(site.run("decommission", "--yes", *WHY).exception, AlreadyRunning)


# ---- decommission


def secrets_of(site: Site) -> list[Path]:
    site.directory.cohort_key()
    site.directory.pseudonym_key()
    renewal.asked(site.directory.identity_folder, site.directory.identity())
    (site.directory.study(site.study.name).key_file).write_bytes(b"key of the study")
    for name in ("pseudonyms.sqlite", "pseudonyms-trial.sqlite", "pseudonyms-trial.sqlite-wal", "proxy.url"):
        (site.state / name).write_bytes(b"a name in clear")
    return list(ending.found(site.directory))


def test_every_key_is_destroyed_and_the_ledger_verifies(site: Site, tmp_path: Path) -> None:
    paths = secrets_of(site)
    assert paths[-1].name == "identity.key"
    assert {path.name for path in paths} >= {
        "key",
        "cohort.key",
        "pseudonym.key",
        "pseudonyms.sqlite",
        "pseudonyms-trial.sqlite",
        "pseudonyms-trial.sqlite-wal",
        "proxy.url",
        "identity.key",
        "tls.key",
        "hpke.key",
    }
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    (runtime / "secrets").write_bytes(b"seeds")
    contents = [path.read_bytes() for path in paths]
    ended = site.run("decommission", "--runtime", runtime, *WHY, answers=["north"])
    assert ended.exit_code == 0, ended.output
    left = [path.read_bytes() for path in site.state.rglob("*") if path.is_file()]
    assert not any(secret in data for secret in contents for data in left)
    assert not list(runtime.iterdir())
    assert bodies(site, "decommissioned") == [{"destroyed": len(paths), "by": "Ada Roe", "reason": "a vote"}]
    assert "all is as it was written" in site.run("ledger", "fsck").output
    assert site.run("decommission", "--yes", *WHY).exception.code == "identity.decommissioned"


def test_a_decommissioned_silo_says_so_and_its_ledger_can_be_read(site: Site, tmp_path: Path) -> None:
    secrets_of(site)
    site.run("decommission", "--yes", *WHY)
    written = site.entries
    at = written[-1].at
    (tmp_path / "token").write_text("t" * 43)
    asked = ("--name", "north", "--consortium", "other", "--token-file", tmp_path / "token", "-o", tmp_path / "request")
    for command in (
        ("status",),
        ("init", *asked),
        ("enrol", tmp_path / "admission"),
        ("ledger", "proof", "0", "-o", tmp_path / "proof"),
        ("run", "--aggregator", "localhost:1"),
    ):
        refused = site.run(*command).exception
        assert isinstance(refused, IdentityError), command
        assert refused.code == "identity.decommissioned"
        assert f"was decommissioned on {at:%Y-%m-%d}" in str(refused)
        assert "can be read ('ledger show'" in str(refused)
    rows = json.loads(site.run("doctor", "--json").output.splitlines()[0])["checks"]
    assert {row["check"]: row["code"] for row in rows}["name"] == "identity.decommissioned"
    shown = site.run("ledger", "show", "--kind", "decommissioned", "--by", "Ada Roe")
    assert shown.exit_code == 0, shown.output
    assert "a vote" in shown.output
    assert site.entries == written, "nothing can be signed any more"
    assert len(list((site.state / "ledger" / "readings").iterdir())) == 1, "and yet it is known who looked"
    assert "all is as it was written" in site.run("ledger", "fsck").output


def test_a_key_that_is_lost_is_not_taken_for_one_that_was_destroyed(site: Site) -> None:
    (site.state / "identity/identity.key").unlink()
    assert site.run("status").exception.code == "identity.missing_key"


def test_no_secret_file_of_the_state_directory_is_forgotten(site: Site) -> None:
    """A twin: whatever is a key by its name is in the list."""
    paths = secrets_of(site)
    assert set(site.state.rglob("*.key")) <= set(paths)


@pytest.mark.parametrize("answer", ["", "yes", "south"])
def test_another_word_destroys_nothing(site: Site, answer: str) -> None:
    paths = secrets_of(site)
    ended = site.run("decommission", *WHY, answers=[answer])
    assert isinstance(ended.exception, PolicyRefused)
    assert all(path.exists() for path in paths)
    assert not bodies(site, "decommissioned")


def test_nobody_to_ask_is_said(site: Site) -> None:
    paths, entries = secrets_of(site), site.entries
    ended = site.run("decommission", *WHY)
    assert isinstance(ended.exception, ConfigError)
    assert ended.exception.code == "config.no_terminal"
    assert "give --yes" in str(ended.exception)
    assert all(path.exists() for path in paths)
    assert site.entries == entries


@pytest.mark.parametrize("left", [1, 2, 9])
def test_one_that_was_cut_off_is_finished(site: Site, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """Also where the key that signs is the only one that is left."""
    paths = secrets_of(site)
    destroy, done = durable.destroy, 0

    def failing(path: Path) -> None:
        nonlocal done
        if done == len(paths) - left:
            raise StorageError("the disk refuses")
        done += 1
        destroy(path)

    monkeypatch.setattr(durable, "destroy", failing)
    assert isinstance(site.run("decommission", "--yes", *WHY).exception, StorageError)
    monkeypatch.setattr(durable, "destroy", destroy)
    assert site.run("decommission", "--yes", *WHY).exit_code == 0
    assert not any(path.exists() for path in paths)
    assert [body["destroyed"] for body in bodies(site, "decommissioned")] == [len(paths), left]
