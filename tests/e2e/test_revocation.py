"""Revocation by the real commands: the operator signs, the aggregator reads the file while it serves."""

import json
from pathlib import Path

import pytest

from privacy.errors import ConfigError, IdentityError
from tests.e2e import commands
from tests.e2e.scene import Copied, Scene

HILL = "hill"
pytestmark = pytest.mark.timeout(600)


@pytest.mark.slow
def test_a_revoked_hospital_is_refused_by_a_serving_aggregator(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    old = scene.statement.read_bytes()
    revoke = ("revoke", "silo", HILL, "--dir", scene.consortium, "--reason", "key-compromise")
    with scene.serving() as server:
        said = scene.well("consortium", *revoke, "-o", scene.statement, "--json")
        assert json.loads(said.out)["revoked"] == [f"silo {HILL}: key-compromise"]
        take_part(scene, server.port).refused(IdentityError, "identity.revoked", "ask the consortium")
        scene.statement.write_bytes(old)  # by mistake, or not
        take_part(scene, server.port).refused(IdentityError, "identity.revoked", "ask the consortium")
    assert "[roster.rollback]" in scene.log("serve").with_suffix(".err").read_text()
    commands.run("consortium", *revoke, "-o", scene.statement).refused(
        IdentityError, "identity.revoked", "admit it under another name"
    )
    renew = ("renew", "silo", HILL, "--dir", scene.consortium, "-o", scene.paper / "again.json")
    commands.run("consortium", *renew).refused(IdentityError, "identity.revoked", "stays so")


def test_a_study_is_not_served_without_a_statement(founded: Scene, copied: Copied, tmp_path: Path) -> None:
    scene = copied(founded)
    scene.statement.unlink()
    arguments = ("serve", "--state", scene.aggregator, "--study", scene.study, "--listen", "127.0.0.1:0")
    commands.run("aggregator", *arguments, patience=60).refused(
        ConfigError, "config.no_roster_statement", "name it with --roster-statement"
    )


def take_part(scene: Scene, port: int) -> commands.Ended:
    return commands.run(
        *("silo", "run", "--state", scene.state(HILL), "--aggregator", f"localhost:{port}"), patience=60
    )
