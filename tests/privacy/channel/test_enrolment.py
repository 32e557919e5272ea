from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from privacy.channel import enrolment
from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.errors import ConfigError, IdentityError, StorageError
from tests.consortium import Consortium


@pytest.fixture
def young(folder: Path) -> Consortium:
    return Consortium(folder)


def test_a_silo_enrols(young: Consortium) -> None:
    identity = young.silo("st-johns")
    assert Identity.load(young.state("st-johns") / "identity").certificate == identity.certificate
    described = enrolment.describe_identity(identity)
    assert described["consortium_fingerprint"] == young.authority.fingerprint


def test_the_keys_stay_and_the_request_holds_none(young: Consortium) -> None:
    request = young.request(Role.SILO, "st-johns")
    text = (young.root / "silo-st-johns.request.json").read_bytes()
    keys = enrolment.Keys.load(young.state("st-johns") / "identity")
    assert keys.hpke is not None
    for secret in (keys.hpke.seed, keys.identity.private_bytes_raw()):
        assert secret not in text
        assert secret.hex().encode() not in text
    assert b"PRIVATE" not in text
    assert request.model_dump_json(indent=2).encode() + b"\n" == text


def test_a_second_init_keeps_the_keys(young: Consortium) -> None:
    first = young.request(Role.SILO, "st-johns")
    with pytest.raises(IdentityError) as caught:
        young.request(Role.SILO, "st-johns")
    assert caught.value.code == "identity.exists"
    keys = enrolment.Keys.load(young.state("st-johns") / "identity")
    assert keys.public_identity.hex() == first.identity_key


def test_a_request_that_cannot_be_written_is_still_there(young: Consortium) -> None:
    token = young.token_file(Role.SILO, "st-johns")
    member = young.member(Role.SILO, "st-johns")
    with pytest.raises(StorageError, match=r"identity/request\.json"):
        enrolment.begin(young.state("st-johns"), member, (), token, young.root / "missing" / "request.json")
    assert (young.state("st-johns") / "identity" / "request.json").exists()


@pytest.mark.parametrize("content", [b"", b"short", b"t" * 44, b"\xff" * 43, b"t" * 5000])
def test_a_token_file_that_holds_none_makes_no_keys(young: Consortium, content: bytes) -> None:
    path = young.root / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="token"):
        enrolment.begin(young.state("x"), young.member(Role.SILO, "x"), (), path, young.root / "request.json")
    assert not young.state("x").exists()


def test_a_missing_token_file_is_named(young: Consortium) -> None:
    with pytest.raises(ConfigError, match=r"no\.token"):
        enrolment.read_token(young.root / "no.token")


def test_an_admission_of_another_member_is_refused(young: Consortium) -> None:
    young.request(Role.SILO, "st-johns")
    young.silo("st-marys")
    with pytest.raises(IdentityError) as caught:
        enrolment.finish(young.state("st-johns"), young.root / "silo-st-marys.admission.json")
    assert caught.value.code == "identity.other_member"
    assert not (young.state("st-johns") / "identity" / "consortium.json").exists()


def test_an_admission_for_another_key_is_refused(young: Consortium, foreign: Consortium) -> None:
    admission = young.admission_file(young.request(Role.SILO, "st-johns"))
    foreign.request(Role.SILO, "st-johns")
    with pytest.raises(IdentityError) as caught:
        enrolment.finish(foreign.state("st-johns"), admission)
    assert caught.value.code == "identity.other_key"


def test_an_admission_with_an_exchanged_ca_is_refused(young: Consortium, foreign: Consortium) -> None:
    admission = young.authority.admit(young.request(Role.SILO, "st-johns"), datetime.now(UTC))
    other = (foreign.root / "consortium" / "ca.pem").read_text()
    path = young.root / "admission.json"
    path.write_text(admission.model_copy(update={"ca_certificate": other}).model_dump_json())
    with pytest.raises(IdentityError) as caught:
        enrolment.finish(young.state("st-johns"), path)
    assert caught.value.code == "identity.foreign"


def test_an_exchanged_study_key_changes_the_fingerprint_that_is_compared(young: Consortium) -> None:
    admission = young.authority.admit(young.request(Role.SILO, "st-johns"), datetime.now(UTC))
    path = young.root / "admission.json"
    path.write_text(admission.model_copy(update={"study_key": "00" * 32}).model_dump_json())
    identity = enrolment.finish(young.state("st-johns"), path)
    assert identity.consortium_fingerprint != young.authority.fingerprint


def test_an_expired_admission_is_refused_and_a_renewed_one_taken(young: Consortium) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    request = young.request(Role.SILO, "st-johns", now=long_ago)
    admission = young.admission_file(request, long_ago)
    with pytest.raises(IdentityError, match="renew") as caught:
        enrolment.finish(young.state("st-johns"), admission)
    assert caught.value.code == "identity.expired"
    renewed = young.authority.renew(request.member, datetime.now(UTC))
    admission.write_text(renewed.model_dump_json())
    enrolment.finish(young.state("st-johns"), admission).check_dates()


def test_a_renewal_by_another_consortium_is_refused(
    young: Consortium, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = young.silo("st-johns")
    twin = Consortium(tmp_path_factory.mktemp("twin"))
    request = enrolment.Request.model_validate_json((young.root / "silo-st-johns.request.json").read_text())
    token = twin.token_file(Role.SILO, "st-johns").read_text().strip()
    again = enrolment.make_request(request.member, (), before.keys, token)
    with pytest.raises(IdentityError) as caught:
        enrolment.finish(young.state("st-johns"), twin.admission_file(again))
    assert caught.value.code == "identity.foreign"
    assert Identity.load(young.state("st-johns") / "identity").certificate == before.certificate


def test_enrol_before_init_says_what_to_do(young: Consortium) -> None:
    young.silo("st-marys")
    with pytest.raises(IdentityError, match="run 'init'"):
        enrolment.finish(young.state("nobody"), young.root / "silo-st-marys.admission.json")


def moving(young: Consortium, there: Consortium, name: str = "st-johns") -> enrolment.Request:
    """The request of young's member, in its present state directory, to another consortium."""
    token = there.token_file(Role.SILO, name)
    return enrolment.begin(young.state("st-johns"), there.member(Role.SILO, name), (), token, there.root / "request")


@pytest.fixture
def there(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return Consortium(tmp_path_factory.mktemp("there"), "lung-net")


def test_a_silo_moves_to_another_consortium_with_its_keys_and_back(young: Consortium, there: Consortium) -> None:
    before = young.silo("st-johns")
    folder = young.state("st-johns") / "identity"
    admission = there.admission_file(moving(young, there))
    assert Identity.load(folder).member == before.member  # until the admission comes
    after = enrolment.finish(young.state("st-johns"), admission)
    assert after.member == there.member(Role.SILO, "st-johns")
    assert after.keys.public_identity == before.keys.public_identity
    assert Identity.load(folder).consortium_fingerprint == there.authority.fingerprint
    assert not (folder / "move-request.json").exists()
    admission.write_text(there.authority.renew(after.member, datetime.now(UTC)).model_dump_json())
    enrolment.finish(young.state("st-johns"), admission)
    # The first consortium knows the keys; its admission is taken again only once it is asked again.
    earlier = young.root / "silo-st-johns.admission.json"
    with pytest.raises(IdentityError) as caught:
        enrolment.finish(young.state("st-johns"), earlier)
    assert caught.value.code == "identity.other_member"
    token = young.root / "token"
    token.write_text("A" * 43)
    enrolment.begin(young.state("st-johns"), before.member, (), token, young.root / "again")
    assert enrolment.finish(young.state("st-johns"), earlier).member == before.member


def test_a_move_that_was_stopped_is_ended_by_the_same_command(
    young: Consortium, there: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    young.silo("st-johns")
    admission = there.admission_file(moving(young, there))
    for steps in range(4):
        left = iter([True] * steps)

        def stopping(path: Path, data: bytes, mode: int = 0o600, left: Iterator[bool] = left) -> None:
            if not next(left, False):
                raise StorageError("stopped")
            path.write_bytes(data)
            path.chmod(mode)

        with monkeypatch.context() as patched:
            patched.setattr("privacy.durable.write", stopping)
            with pytest.raises(StorageError):
                enrolment.finish(young.state("st-johns"), admission)
    assert enrolment.finish(young.state("st-johns"), admission).member.consortium == "lung-net"


def test_a_move_keeps_the_name_and_an_aggregator_stays(young: Consortium, there: Consortium) -> None:
    young.silo("st-johns")
    with pytest.raises(IdentityError) as caught:
        moving(young, there, "st-marys")
    assert caught.value.code == "identity.exists"
    young.aggregator("hub")
    token = there.token_file(Role.AGGREGATOR, "hub")
    with pytest.raises(IdentityError) as caught:
        enrolment.begin(
            young.state("hub"), there.member(Role.AGGREGATOR, "hub"), ("localhost",), token, there.root / "request"
        )
    assert caught.value.code == "identity.exists"
