from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.channel import envelope, roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.member import Role
from privacy.channel.roster_statement import MAX_LIFE, Reason, Revoked, RosterStatement, instant
from privacy.channel.statement_memory import StatementMemory
from privacy.errors import CollegiumError, ConfigError, CorruptState, IdentityError, ProtocolError, Unreachable
from tests.privacy.studies import key, study

KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
NOW = datetime(2026, 5, 3, 12, 0, 0, tzinfo=UTC)
NAME = "chest-net"


def revoked(*numbers: int) -> tuple[Revoked, ...]:
    return tuple(
        Revoked(role=Role.SILO, name=f"silo-{n}", identity=key(n), reason=Reason.KEY_COMPROMISE, since=instant(NOW))
        for n in sorted(numbers)
    )


def statement(serial: int = 1, *numbers: int, days: float = 30, issued: datetime = NOW) -> RosterStatement:
    return RosterStatement(
        consortium=NAME,
        serial=serial,
        issued=instant(issued),
        expires=instant(issued + timedelta(days=days)),
        revoked=revoked(*numbers),
    )


def opened(signed: Signed) -> RosterStatement:
    return roster_statement.open_signed(signed, NAME, PUBLIC)


def code(signed: Signed, memory: StatementMemory | None = None, now: datetime = NOW) -> str:
    with pytest.raises(CollegiumError) as caught:
        opened(signed) if memory is None else memory.take(signed, now)
    return caught.value.code


@pytest.fixture
def memory(tmp_path: Path) -> StatementMemory:
    return StatementMemory(tmp_path / "newest.json", NAME, PUBLIC)


@given(st.integers(1, 2**63 - 1), st.sets(st.integers(0, 50), max_size=5), st.integers(1, 90))
def test_a_statement_travels_unchanged(serial: int, numbers: set[int], days: int) -> None:
    made = statement(serial, *numbers, days=days)
    assert opened(roster_statement.sign(made, KEY)) == made


def test_a_file_is_read_back_to_the_same_signed_bytes(tmp_path: Path) -> None:
    signed = roster_statement.sign(statement(7, 1, 2), KEY)
    (tmp_path / "statement.json").write_bytes(roster_statement.dump(signed))
    assert roster_statement.read(tmp_path / "statement.json") == signed


def test_what_is_not_signed_by_this_consortium_is_refused() -> None:
    signed = roster_statement.sign(statement(3, 1), KEY)
    other = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
    without = statement(3).canonical()
    assert code(roster_statement.sign(statement(3), other)) == "roster.bad_signature"
    assert code(Signed(signed.kind, without, signed.signer, signed.signature)) == "roster.bad_signature"
    assert code(envelope.sign("study", signed.body, NAME, KEY)) == "roster.bad_signature"
    elsewhere = statement(3).model_copy(update={"consortium": "other-net"})
    assert code(roster_statement.sign(elsewhere, KEY)) == "roster.malformed"
    assert code(Signed(signed.kind, signed.body, "other-net", signed.signature)) == "roster.malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        statement().canonical() + b"\n",
        statement().canonical().replace(b'":', b'": ', 1),
        statement().canonical().replace(b'"serial":1', b'"serial":1.0'),
        statement().canonical().replace(b'"serial":1', b'"serial":0'),
        statement().canonical().replace(b'"serial":1', b'"more":1,"serial":1'),
        statement().canonical().replace(b"statement/1", b"statement/2"),
        statement().canonical().replace(b'"serial":1', b'"serial":1,"serial":1'),
        statement().canonical().replace(b"2026-05-03", b"2026-13-03"),
        statement(1, 1, 2).canonical().replace(key(2).encode(), key(1).encode()),
        statement(1, 1, 2).canonical().replace(key(1).encode(), key(3).encode()),
        statement(1, 1).canonical().replace(b"key-compromise", b"whim"),
    ],
)
def test_a_signed_body_in_another_form_is_refused(body: bytes) -> None:
    assert code(envelope.sign(roster_statement.KIND, body, NAME, KEY)) == "roster.malformed"


@pytest.mark.parametrize("days", [0, -1, MAX_LIFE.days + 1])
def test_no_statement_holds_for_longer_than_the_limit_or_for_no_time(days: int) -> None:
    with pytest.raises(ValidationError):
        statement(1, days=days)


def test_a_statement_holds_from_its_issue_to_its_expiry() -> None:
    made = statement(1, days=30)
    for moment in (NOW - timedelta(minutes=5), NOW, NOW + timedelta(days=30, seconds=-1)):
        made.check_current(moment)
    for moment, kind, expected in (
        (NOW - timedelta(minutes=6), IdentityError, "not_yet_valid"),
        (NOW + timedelta(days=30), Unreachable, "expired"),  # passes: the consortium renews it
    ):
        with pytest.raises(kind) as caught:
            made.check_current(moment)
        assert caught.value.code == f"roster.{expected}"


def test_a_roster_is_compared_by_identity_key_alone() -> None:
    assert statement(1, 0, 2, 40).silos_of(study(4).roster) == {1, 3}
    found = statement(1, 2).find(key(2))
    assert found is not None
    assert found.reason is Reason.KEY_COMPROMISE
    assert statement(1, 2).find(key(1)) is None


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=12))
def test_the_newest_statement_is_never_given_up(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]
) -> None:
    path = tmp_path_factory.mktemp("memory") / "newest.json"
    memory, highest = StatementMemory(path, NAME, PUBLIC), 0
    for serial, restart in steps:
        if restart:
            memory = StatementMemory(path, NAME, PUBLIC)
        signed = roster_statement.sign(statement(serial, *range(serial)), KEY)
        if serial < highest:
            assert code(signed, memory) == "roster.rollback"
        else:
            assert memory.take(signed, NOW).serial == serial
            highest = serial
        assert memory.newest is not None
        assert memory.newest.serial == highest
        assert memory.signed is not None
        assert opened(memory.signed) == memory.newest


def test_a_second_statement_of_a_serial_is_refused(memory: StatementMemory) -> None:
    memory.take(roster_statement.sign(statement(4, 1), KEY), NOW)
    assert code(roster_statement.sign(statement(4), KEY), memory) == "roster.forked"
    assert memory.newest == statement(4, 1)


def test_a_newer_statement_is_remembered_also_when_it_has_expired(memory: StatementMemory) -> None:
    memory.take(roster_statement.sign(statement(1), KEY), NOW)
    late = NOW + timedelta(days=31)
    assert code(roster_statement.sign(statement(2, 1), KEY), memory, late) == "roster.expired"
    assert memory.newest == statement(2, 1)
    assert code(roster_statement.sign(statement(1), KEY), memory) == "roster.rollback"


def test_what_is_refused_is_not_remembered(memory: StatementMemory, tmp_path: Path) -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
    assert code(roster_statement.sign(statement(9), other), memory) == "roster.bad_signature"
    assert memory.newest is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_memory_is_not_taken_for_none(memory: StatementMemory, tmp_path: Path) -> None:
    memory.take(roster_statement.sign(statement(4, 1), KEY), NOW)
    path = tmp_path / "newest.json"
    good = path.read_bytes()
    for bad in (b"", good[:-20], good.replace(b'"serial": 4', b'"serial": 3')):
        path.write_bytes(bad)
        with pytest.raises(CorruptState) as caught:
            StatementMemory(path, NAME, PUBLIC)
        assert caught.value.code == "roster.damaged"


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "statement.json").write_text("{}")
    for name in ("statement.json", "missing.json"):
        with pytest.raises(ConfigError):
            roster_statement.read(tmp_path / name)


def test_the_error_of_an_old_statement_is_the_protocols(memory: StatementMemory) -> None:
    memory.take(roster_statement.sign(statement(2), KEY), NOW)
    with pytest.raises(ProtocolError, match="have the aggregator serve the newest one"):
        memory.take(roster_statement.sign(statement(1), KEY), NOW)
