"""Runs every command of the page on upgrades that needs no root, engine or cluster, amid a study that goes on."""

import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.desk import Desk
from tests.e2e.processes import end, wait
from tests.e2e.scene import SILOS, Copied, Scene
from tests.privacy.release.test_release import FILES, TRUSTED, publish, released

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = "docs/how-to/upgrade.md"
NORTH, *OTHERS = SILOS


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_every_command_of_the_page_amid_a_study(approved: Scene, copied: Copied) -> None:
    """North stops after the first round, is copied, looked at and put back, and the study goes on with it."""
    scene = copied(approved)
    desk = Desk(scene, PAGE, free_port())
    (desk.folder / "study.yaml").symlink_to(Path("..") / "paper" / "study.yaml")
    publish(desk.folder / "collegium-0.2.0", released(FILES), FILES)
    serving = desk.start("Start the aggregator")
    silos = [scene.start_silo(name, desk.port, patience=200) for name in OTHERS]
    north = desk.start("Start the silo")
    try:
        wait(lambda: (scene.state(NORTH) / "status.json").exists(), north)
        desk.run("Stop a silo after its round")
        assert north.wait(150) == 0
        assert "stopped" in [entry.kind for entry in scene.entries(NORTH)]

        looked = desk.run("Verify the release", replaced=("1f2e 3d4c ... 9a8b", TRUSTED))
        assert "as published" in looked
        desk.run("Copy the silo")
        assert "verified" in desk.run("Copy the aggregator and stop it")
        assert "all is as it was written" in desk.run("Look at the silo")
        assert "versions" in desk.run("Look at the aggregator")
        desk.run("The silo")

        north = desk.start("Start the silo")
        assert [silo.wait(200) for silo in (north, *silos)] == [0, 0, 0], (
            scene.log("desk").with_suffix(".err").read_text()
        )
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    finally:
        end(north, serving, *silos)
    desk.run("The aggregator")
    assert not desk.undone()
