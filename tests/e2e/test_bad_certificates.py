"""Certificates that are over, or of another consortium, are refused before anything is read or sent."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.consortium.authority import Authority
from privacy.channel.member import Member, Role
from privacy.errors import (
    IdentityError,
)
from tests.consortium import Consortium
from tests.e2e import commands
from tests.e2e.refused import NORTH, only_grew, serve, take_part
from tests.e2e.scene import AGGREGATOR, CONSORTIUM, Copied, Scene
from tests.e2e.state_folders import contents, kinds, ledger

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]


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
    ended.refused(IdentityError, "identity.foreign", "ask the consortium what answers there")
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
