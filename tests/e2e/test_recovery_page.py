"""Runs every command of the page on disaster recovery, where what it is for has happened."""

import shutil
import sys

import pytest
import yaml

from privacy.errors import CorruptState, StorageError
from tests.e2e import commands
from tests.e2e.desk import Desk
from tests.e2e.scene import DRAFT, SILOS, Copied, Scene
from tests.e2e.state_folders import ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = "docs/how-to/disaster-recovery.md"
NORTH, HARBOUR, HILL = SILOS


def test_every_command_of_the_page_mends_its_case(approved: Scene, finished: Scene, copied: Copied) -> None:
    """North's disk held the finished study; its newest copy is from when the study was approved."""
    scene = copied(finished)
    desk = Desk(scene, PAGE)
    state, run = scene.state(NORTH), ("run", "--state", scene.state(NORTH), "--patience", 60, "--aggregator")
    shutil.rmtree(state)
    shutil.copytree(approved.state(NORTH), state)
    desk.run("Before anything happens")
    shutil.rmtree(state)

    draft = {**DRAFT, "roster": {**DRAFT["roster"], "steward": HARBOUR}}
    (desk.folder / "draft.yaml").write_text(yaml.safe_dump(draft))
    desk.run("The steward is lost")

    with scene.serving() as server:
        desk.port = server.port
        desk.run("Copy the aggregator")
        assert "all is as it was written" in desk.run("The silo is restored from a backup")
        refused = commands.run("silo", *run, f"localhost:{server.port}")
        refused.refused(CorruptState, "ledger.rolled_back", "recover")
        assert "recovered" in desk.run("Without a newer copy", said="y\n")
        assert "recovered" in [entry.kind for entry in scene.entries(NORTH)]
        desk.run("A certificate expired")
        assert "fingerprint" in desk.run("Take the new certificate")
        desk.run("The silo is lost for good, or its keys were copied")
        revoked = commands.run("silo", *run, f"localhost:{server.port}")
        assert "[identity.revoked]" in revoked.err

    desk.run("The aggregator is lost")
    shutil.rmtree(scene.aggregator)
    (desk.folder / "aggregator-restored").rename(scene.aggregator)
    with scene.serving():
        pass
    assert "state.restored" in [entry.body.get("code") for entry in ledger(scene.aggregator)]
    desk.run("The consortium's keys are lost, or were copied")
    desk.run("Move to the new consortium")
    assert not desk.undone()
    full = commands.run(
        "silo", "budget", "set", "--cohort", "chest", "--epsilon", 1, "--delta", 0.001, "--reason", "r", "--by", "b",
        "--state", scene.state(HILL), under=(sys.executable, "-c", commands.LIMITED, "0"),
    )  # fmt: skip
    full.refused(StorageError, "storage.full", "free some space")
