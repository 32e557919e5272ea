"""The store of renewals: whose requests are kept for the consortium, and which certificates are refused for good."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.renewals import Renewals, waiting
from privacy.channel import renewal
from privacy.channel.admission import Request, make_request
from privacy.channel.certificate import parse
from privacy.channel.identity import Identity, Keys
from privacy.channel.member import Role
from privacy.errors import CollegiumError, IdentityError
from privacy.wire.renewals import RenewRequest
from tests.aggregator.members import Members


@pytest.fixture
def members(tmp_path: Path) -> Members:
    """Members of their own, as the tests here change their folders."""
    return Members.enrol(tmp_path)


def asking(members: Members, request: Request) -> RenewRequest:
    return RenewRequest(members.study.digest(), request.model_dump_json().encode())


def own_request(members: Members, index: int) -> Request:
    silo = members.of(index)
    return renewal.asked(members.consortium.state(silo.member.name) / "identity", silo)


def test_a_request_is_kept_only_from_the_silo_that_it_is_of(tmp_path: Path, members: Members) -> None:
    """Whoever has the certificate's key alone, which a stolen disk may hold, gets no other one with it."""
    renewals, silo = Renewals(tmp_path / "renewals", members.study), members.of(1)
    good, of_another = own_request(members, 1), own_request(members, 2)
    other_keys = Keys.generate(Role.SILO)
    thief = make_request(silo.member, (), other_keys, None)
    twins = (
        (thief, "identity.other_key"),
        (of_another, "renewal.foreign"),
        (good.model_copy(update={"csr": thief.csr}), "identity.bad_signature"),
        (good.model_copy(update={"identity_key": thief.identity_key}), "identity.other_key"),
    )
    for twin, code in twins:
        with pytest.raises(CollegiumError) as caught:
            renewals.answer("north", asking(members, twin))
        assert caught.value.code == code
        assert not (tmp_path / "renewals").exists()
    foreign = RenewRequest(b"s" * 32, good.model_dump_json().encode())
    with pytest.raises(CollegiumError) as caught:
        renewals.answer("north", foreign)
    assert caught.value.code == "renewal.foreign"
    assert renewals.answer("north", asking(members, good)) == b""
    assert (tmp_path / "renewals/pending/north.json").read_bytes() == good.model_dump_json().encode()


def test_a_request_is_told_of_once_and_waits_until_there_is_an_answer_to_it(tmp_path: Path, members: Members) -> None:
    told: list[str] = []
    renewals, silo = Renewals(tmp_path / "renewals", members.study, told.append), members.of(1)
    answer = tmp_path / "renewals/answers/north.json"
    assert waiting(tmp_path) == ()
    request = own_request(members, 1)
    for _ in range(2):
        renewals.answer("north", asking(members, request))
    assert told == ["north"]
    earlier = members.consortium.authority.renew(silo.member, datetime.now(UTC))
    for not_it in ("{", earlier.model_dump_json()):  # one of another year lies there, or a damaged one
        answer.write_text(not_it)
        (one,) = waiting(tmp_path)
        assert (one.silo, one.answered) == ("north", False)
        assert "renew silo north --request north.json" in one.mend()
    right = members.consortium.authority.renew(silo.member, datetime.now(UTC), request)
    answer.write_text(right.model_dump_json())
    (one,) = waiting(tmp_path)
    assert one.answered
    assert renewals.answer("north", asking(members, request))
    assert waiting(tmp_path) == ()


def test_a_replaced_certificate_stays_refused_whoever_asks_after_a_restart(tmp_path: Path, members: Members) -> None:
    folder, silo = tmp_path / "renewals", members.of(1)
    later = datetime.now(UTC) + timedelta(minutes=1)
    state = members.consortium.state("north") / "identity"
    authority = members.consortium.authority
    answer = authority.renew(silo.member, later, own_request(members, 1))
    renewed = renewal.take(state, silo, answer.model_dump_json().encode(), later)

    def check(renewals: Renewals, identity: Identity) -> None:
        renewals.check(identity.member, identity.certificate)

    again = parse(authority.renew(silo.member, later).certificate.encode(), "one of the same second")
    running = Renewals(folder, members.study)
    for identity in (silo, silo, renewed, renewed, members.of(2)):
        check(running, identity)
    for renewals in (running, Renewals(folder, members.study), Renewals(folder, members.study)):
        for other in (silo, replace(renewed, certificate=again)):
            with pytest.raises(IdentityError) as caught:
                check(renewals, other)
            assert caught.value.code == "identity.superseded"
        check(renewals, renewed)
        check(renewals, members.of(2))
