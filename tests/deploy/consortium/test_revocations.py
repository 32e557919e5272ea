import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.consortium.app import app
from deploy.consortium.authority import Authority
from deploy.consortium.signing import sign_draft
from privacy.channel import roster_statement
from privacy.channel.member import Role
from privacy.channel.roster_statement import Reason, RosterStatement
from privacy.durable import lock
from privacy.errors import AlreadyRunning, CorruptState, IdentityError
from tests.consortium import Consortium
from tests.deploy.consortium.test_app import run
from tests.deploy.consortium.test_signing import draft

NOW = datetime.now(UTC).replace(microsecond=0)
MONTH = timedelta(days=30)


def newest(consortium: Consortium, path: Path) -> RosterStatement:
    authority = consortium.authority
    return roster_statement.open_signed(roster_statement.read(path), authority.name, authority.public_study_key)


def test_revocations_stay_and_serials_rise(consortium: Consortium) -> None:
    members = [consortium.silo(name) for name in ("st-marys", "st-johns")]
    revocations = consortium.authority.revocations
    made = [revocations.renew(NOW, MONTH)]
    for name, reason in (("st-marys", Reason.KEY_COMPROMISE), ("st-johns", Reason.SUPERSEDED)):
        request = consortium.authority.admitted(Role.SILO, name)
        made.append(Authority.open(consortium.root / "consortium").revocations.revoke(request, reason, NOW, MONTH))
    made.append(revocations.renew(NOW + MONTH, MONTH))
    statements = [RosterStatement.model_validate_json(signed.body) for signed in made]
    assert [statement.serial for statement in statements] == [1, 2, 3, 4]
    assert [len(statement.revoked) for statement in statements] == [0, 1, 2, 2]
    for member in members:
        assert statements[-1].find(member.keys.public_identity.hex()) is not None
    statements[-1].check_current(NOW + MONTH + timedelta(days=29))


def test_a_revoked_member_gets_nothing_more(consortium: Consortium, tmp_path: Path) -> None:
    for name in ("st-johns", "st-pauls"):
        consortium.silo(name)
    consortium.aggregator()
    request = consortium.request(Role.SILO, "st-marys")
    consortium.admission_file(request)
    authority = consortium.authority
    sign_draft(authority, draft(tmp_path))
    authority.revocations.revoke(request, Reason.PRIVILEGE_WITHDRAWN, NOW, MONTH)
    for asked in (
        lambda: authority.admit(request, NOW),
        lambda: authority.renew(request.member, NOW),
        lambda: sign_draft(authority, draft(tmp_path)),
        lambda: authority.admitted(Role.SILO, "st-marys"),
    ):
        with pytest.raises(IdentityError) as caught:
            asked()
        assert caught.value.code == "identity.revoked"
    authority.renew(consortium.member(Role.SILO, "st-johns"), NOW)


def test_the_commands(tmp_path: Path, consortium: Consortium) -> None:
    consortium.silo("st-marys")
    at, first, second = consortium.root / "consortium", tmp_path / "first.json", tmp_path / "second.json"
    shown = json.loads(run(app, "roster-statement", "--dir", at, "-o", first, "--days", 7, "--json").output)
    assert (shown["serial"], shown["revoked"]) == (1, [])
    assert newest(consortium, first).revoked == ()
    revoke = ("revoke", "silo", "st-marys", "--dir", at, "--reason", "key-compromise", "-o", second)
    assert json.loads(run(app, *revoke, "--json").output)["revoked"] == ["silo st-marys: key-compromise"]
    (entry,) = newest(consortium, second).revoked
    assert (entry.name, entry.role, entry.reason) == ("st-marys", Role.SILO, Reason.KEY_COMPROMISE)
    assert "st-marys" in run(app, "roster-statement", "--dir", at, "-o", first).output
    assert newest(consortium, first).serial == 3
    with pytest.raises(IdentityError, match="stays so"):
        run(app, *revoke)
    with pytest.raises(IdentityError) as caught:
        run(app, "revoke", "silo", "nobody", *revoke[3:])
    assert caught.value.code == "identity.unknown_member"
    assert newest(consortium, first).serial == 3


def test_two_commands_at_a_time_do_not_sign_one_serial_twice(consortium: Consortium) -> None:
    with lock(consortium.root / "consortium"), pytest.raises(AlreadyRunning):
        consortium.authority.revocations.renew(NOW, MONTH)


def test_a_damaged_statement_is_not_taken_for_none(consortium: Consortium) -> None:
    consortium.silo("st-marys")
    consortium.authority.revocations.renew(NOW, MONTH)
    (consortium.root / "consortium/roster-statement.json").write_text("{}")
    for asked in (
        lambda: consortium.authority.revocations.renew(NOW, MONTH),
        lambda: consortium.authority.admitted(Role.SILO, "st-marys"),
    ):
        with pytest.raises(CorruptState):
            asked()
