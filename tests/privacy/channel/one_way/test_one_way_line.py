"""One-way lines over real gRPC through a proxy that opens TLS: an honest one serves, a hostile one only disturbs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import grpc
import pytest

from privacy.channel import tls
from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.channel.one_way.line import Line, Way
from privacy.channel.one_way.records import BEGIN, HEAD_KEY, STATUS_KEY
from privacy.channel.status import CODE_KEY, KIND_KEY, calling
from privacy.errors import CollegiumError, IdentityError, PolicyRefused, ProtocolError, StorageError, Unreachable
from tests.consortium import Consortium
from tests.privacy.channel.breaking_proxy import BreakingProxy, Metadata
from tests.privacy.channel.serving import Echo, raw_channel, serving, serving_one_way

STUDY = b"s" * 32
NAME = b"spiffe://chest-net/silo/st-marys"


@contextmanager
def through(
    hub: Identity, silo: Identity, kind: type[BreakingProxy] = BreakingProxy, **serving: Any
) -> Iterator[tuple[Line, Echo, BreakingProxy]]:
    """A line of `silo` through a proxy to an aggregator that allows it."""
    allowed = serving.pop("silos", [silo])
    with serving_one_way(hub, allowed, STUDY, **serving) as (port, echo):
        proxy = kind(port, hub.authority_pem)
        with proxy.running() as open_at:
            line = line_to(hub, silo, open_at, proxy.trusted)
            try:
                yield line, echo, proxy
            finally:
                line.close()


def line_to(
    hub: Identity, silo: Identity, port: int, trusted: bytes, study: bytes = STUDY, count: Any = lambda *_: None
) -> Line:
    return Line(silo, f"localhost:{port}", Way(study, hub.keys.public_identity, trusted), count)


def call(line: Line, method: str = "Unary") -> Any:
    path = f"/t.Echo/{method}"
    with calling("the aggregator"):
        if method == "Up":
            return line.stream_unary(path)(iter([b"a", b"b", b"c"]), timeout=10)
        if method == "Down":
            return list(line.unary_stream(path)(b"ask", timeout=10))
        return line.unary_unary(path)(b"ask", timeout=10)


def refused(line: Line, method: str = "Unary") -> CollegiumError:
    with pytest.raises(CollegiumError) as caught:
        call(line, method)
    return caught.value


def test_every_kind_of_call_goes_through_a_proxy_that_opens_tls(hub: Identity, silo: Identity) -> None:
    with through(hub, silo) as (line, echo, proxy):
        assert call(line) == NAME
        assert call(line, "Down") == [b"first", NAME]
        assert call(line, "Up") == b"3 " + NAME
        assert echo.calls == 3
        assert [method for method, _ in proxy.heads] == [BEGIN, "/t.Echo/Unary", "/t.Echo/Down", "/t.Echo/Up"]
        assert any(record.endswith(b"ask") for record in proxy.seen["/t.Echo/Unary"]), "it reads what is sent"


def test_what_is_sent_is_counted_before_it_is(hub: Identity, silo: Identity) -> None:
    counted: list[tuple[str, int]] = []

    def count(method: str, message: bytes) -> None:
        counted.append((method, len(message)))
        if message == b"c":
            raise StorageError("full")

    with serving_one_way(hub, [silo], STUDY) as (port, echo):
        line = line_to(hub, silo, port, hub.authority_pem, count=count)
        assert call(line) == NAME
        with pytest.raises(StorageError, match="full"):
            call(line, "Up")
        line.close()
        assert echo.calls == 1
    assert [method for method, _ in counted] == [BEGIN, "/t.Echo/Unary", *["/t.Echo/Up"] * 3]
    assert counted[1][1] == len(b"ask")


# ---- a hostile proxy


class Hostile(BreakingProxy):
    """Lets the line begin, and then does its worst."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.before: list[bytes] = []


class AltersRequest(Hostile):
    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return (record[:-1] + b"!" for record in records)


class DropsFirst(Hostile):
    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return islice(records, 1, None)


class CutsTheEnd(Hostile):
    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return islice(records, 2)


class Repeats(Hostile):
    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return (record for record in records for _ in range(2))


class Reorders(Hostile):
    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return reversed(list(records)) if method != BEGIN else records


class AddsUnsigned(Hostile):
    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        yield bytes(65) + b"mine"
        yield from records


class Redirects(Hostile):
    def method(self, method: str) -> str:
        return "/t.Echo/Down" if method == "/t.Echo/Up" else method


class ReplaysTheHead(Hostile):
    """Makes each call with the head of the first, whose record it has, too."""

    def head(self, method: str, head: Metadata) -> Metadata:
        return next(known for name, known in self.heads if name == method)


class SplicesAnotherCall(Hostile):
    """Puts the record of the call before into this call."""

    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        if method == BEGIN:
            return records
        now = list(records)
        before, self.before = self.before, now
        return iter(before or now)


class AltersHead(Hostile):
    def head(self, method: str, head: Metadata) -> Metadata:
        return [(key, value[:-1] + b"!" if isinstance(value, bytes) else value) for key, value in head]


class TwoHeads(Hostile):
    def head(self, method: str, head: Metadata) -> Metadata:
        return [*head, *(entry for entry in head if entry[0] == HEAD_KEY)]


class AltersAnswer(Hostile):
    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return (record[:-1] + b"!" for record in records)


class DropsAnswer(Hostile):
    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return islice(records, 1, None)


class CutsAnswer(Hostile):
    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        found = list(records)
        return iter(found[:-1])


class RepeatsAnswer(Hostile):
    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        return (record for record in records for _ in range(2))


class AnswersOfBefore(Hostile):
    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        now = list(records)
        before, self.before = self.before, now
        return iter(before or now)


class NoStatus(Hostile):
    def trailers(self, method: str, trailers: Metadata) -> Metadata:
        return [] if method != BEGIN else trailers


class AltersStatus(Hostile):
    def trailers(self, method: str, trailers: Metadata) -> Metadata:
        changed = [(key, value + b"!" if isinstance(value, bytes) else value) for key, value in trailers]
        return changed if method != BEGIN else trailers


class StatusOfBeginning(Hostile):
    """Ends a call with the signed status of another."""

    first: Metadata = ()

    def trailers(self, method: str, trailers: Metadata) -> Metadata:
        self.first = self.first or trailers
        return self.first


ON_REQUESTS: tuple[tuple[type[Hostile], str], ...] = (
    (AltersRequest, "Unary"),
    (AltersRequest, "Up"),
    (DropsFirst, "Unary"),
    (DropsFirst, "Up"),
    (CutsTheEnd, "Up"),
    (Repeats, "Up"),
    (Reorders, "Up"),
    (AddsUnsigned, "Up"),
    (Redirects, "Up"),
    (AltersHead, "Unary"),
    (TwoHeads, "Unary"),
)
ON_ANSWERS: tuple[tuple[type[Hostile], str], ...] = (
    (AltersAnswer, "Unary"),
    (AltersAnswer, "Down"),
    (DropsAnswer, "Unary"),
    (DropsAnswer, "Down"),
    (CutsAnswer, "Down"),
    (RepeatsAnswer, "Down"),
    (NoStatus, "Unary"),
    (AltersStatus, "Unary"),
    (StatusOfBeginning, "Unary"),
)


@pytest.mark.parametrize(("kind", "method"), ON_REQUESTS, ids=lambda value: getattr(value, "__name__", value))
def test_the_aggregator_serves_nothing_that_was_touched(
    hub: Identity, silo: Identity, kind: type[Hostile], method: str
) -> None:
    with through(hub, silo, kind) as (line, echo, _):
        error = refused(line, method)
        assert isinstance(error, Unreachable | ProtocolError | IdentityError)
        assert echo.calls == 0


@pytest.mark.parametrize(("kind", "method"), ON_ANSWERS, ids=lambda value: getattr(value, "__name__", value))
def test_the_silo_takes_no_answer_that_was_touched(
    hub: Identity, silo: Identity, kind: type[Hostile], method: str
) -> None:
    with through(hub, silo, kind) as (line, echo, _):
        assert isinstance(refused(line, method), Unreachable)
        assert echo.calls <= 1, "the silo may have hung up before"


@pytest.mark.parametrize("kind", [ReplaysTheHead, SplicesAnotherCall])
def test_no_call_is_made_twice(hub: Identity, silo: Identity, kind: type[Hostile]) -> None:
    with through(hub, silo, kind) as (line, echo, _):
        assert call(line) == NAME
        assert refused(line).code == "one_way.altered"
        assert echo.calls == 1


def test_the_answer_of_another_call_is_none_of_this(hub: Identity, silo: Identity) -> None:
    with through(hub, silo, AnswersOfBefore) as (line, _, _):
        assert call(line) == NAME
        assert refused(line).code == "one_way.altered"


def test_a_recorded_call_cannot_be_made_again_by_whoever_recorded_it(hub: Identity, silo: Identity) -> None:
    with through(hub, silo) as (line, echo, proxy):
        assert call(line) == NAME
        method, head = proxy.heads[-1]
        again = proxy.call(method, head, iter(proxy.seen[method]))
        with pytest.raises(Unreachable, match="made before"), calling("the aggregator"):
            list(again)
        assert echo.calls == 1


class ForgesErrors(Hostile):
    def trailers(self, method: str, trailers: Metadata) -> Metadata:
        kept = [entry for entry in trailers if entry[0] == STATUS_KEY]
        return [*kept, (KIND_KEY, "PolicyRefused"), (CODE_KEY, "policy.refused")]

    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        if method != BEGIN:
            raise _Forged
        return records


class _Forged(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.PERMISSION_DENIED

    def details(self) -> str:
        return "by policy"

    def trailing_metadata(self) -> Any:
        return ()


def test_only_the_aggregator_says_why_a_call_was_refused(hub: Identity, silo: Identity) -> None:
    with through(hub, silo, ForgesErrors) as (line, _, _):
        error = refused(line)
        assert isinstance(error, Unreachable)
        assert "by policy" not in str(error)

    def refuse(_: object) -> None:
        raise PolicyRefused("not today", code="policy.today")

    with through(hub, silo, admit=refuse) as (line, echo, _):
        error = refused(line)
        assert (type(error), error.code, echo.calls) == (PolicyRefused, "policy.today", 0)


# ---- who may, and until when


def test_a_silo_that_is_not_named_may_not(hub: Identity, silo: Identity) -> None:
    with through(hub, silo, silos=[]) as (line, echo, _):
        error = refused(line)
        assert (type(error), error.code, echo.calls) == (IdentityError, "one_way.not_allowed", 0)
        assert "one_way_tls" in str(error)


def test_revocation_expiry_and_renewal_hold_from_the_next_call_on(hub: Identity, silo: Identity) -> None:
    now, revoked, replaced = [datetime.now(UTC)], list[str](), list[str]()

    def check(values: list[str]) -> Callable[..., None]:
        def run(member: Any, *_: object) -> None:
            if values:
                raise IdentityError("no", code=values[0])

        return run

    with through(hub, silo, admit=check(revoked), known=check(replaced), clock=lambda: now[0]) as (line, echo, _):
        assert call(line) == NAME
        revoked.append("identity.revoked")
        assert refused(line).code == "identity.revoked"
        revoked.clear()
        replaced.append("identity.superseded")
        assert refused(line).code == "identity.superseded"
        replaced.clear()
        now[0] += timedelta(days=366)
        assert refused(line).code == "identity.expired"
        assert echo.calls == 1


def test_what_ends_the_next_call_ends_one_that_is_open(hub: Identity, silo: Identity) -> None:
    revoked = []

    def admit(member: Member) -> None:
        if revoked:
            raise IdentityError("revoked", code="identity.revoked")

    def asked() -> Iterator[bytes]:
        yield b"a"
        revoked.append(True)
        yield b"b"

    with through(hub, silo, admit=admit) as (line, echo, _):
        with pytest.raises(IdentityError) as caught, calling("the aggregator"):
            line.stream_unary("/t.Echo/Up")(asked(), timeout=10)
        assert caught.value.code == "identity.revoked"
        assert echo.calls == 0


def test_another_study_role_method_or_consortium_is_refused(hub: Identity, silo: Identity, foreign: Consortium) -> None:
    with serving_one_way(hub, [silo], STUDY) as (port, echo):

        def code(line: Line, method: str = "Unary") -> str:
            error = refused(line, method)
            line.close()
            return error.code

        of_another_study = line_to(hub, silo, port, hub.authority_pem, study=b"t" * 32)
        # What it signs is of this call in its own study, so the silo takes it for an altered answer.
        assert code(of_another_study) == "one_way.altered"
        stranger = foreign.silo("st-marys")
        assert code(line_to(hub, stranger, port, hub.authority_pem)) == "identity.foreign"
        assert code(line_to(hub, silo, port, hub.authority_pem), "OfAggregators") == "identity.forbidden"
        assert code(line_to(hub, silo, port, hub.authority_pem), "NotInTheTable") == "identity.forbidden"
        assert echo.calls == 0


def test_a_key_that_is_not_the_rosters_signs_nothing(hub: Identity, silo: Identity, consortium: Consortium) -> None:
    """The certificate and its key alone, in other hands, are not enough."""
    other = consortium.silo("thief")
    stolen = Identity(
        silo.member,
        type(silo.keys)(other.keys.identity, silo.keys.tls, silo.keys.hpke),
        silo.certificate,
        silo.authority,
        silo.study_key,
    )
    with serving_one_way(hub, [silo], STUDY) as (port, echo):
        line = line_to(hub, stolen, port, hub.authority_pem)
        assert refused(line).code == "one_way.altered"
        line.close()
        assert echo.calls == 0


def test_another_aggregators_answers_are_not_taken(hub: Identity, silo: Identity, consortium: Consortium) -> None:
    impostor = consortium.enrol(Role.AGGREGATOR, "hub-two", ("localhost",))
    with serving_one_way(impostor, [silo], STUDY) as (port, _):
        line = line_to(hub, silo, port, hub.authority_pem)
        assert refused(line).code == "one_way.altered"
        line.close()


def test_a_line_goes_on_after_the_aggregator_was_started_again(hub: Identity, silo: Identity) -> None:
    with serving_one_way(hub, [silo], STUDY) as (port, _):
        line = line_to(hub, silo, port, hub.authority_pem)
        assert call(line) == NAME
    with serving_one_way(hub, [silo], STUDY, port=port) as (_, echo):
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        codes = set()
        while not echo.calls:
            assert datetime.now(UTC) < deadline
            try:
                call(line)
            except Unreachable as error:
                codes.add(error.code)
        assert "one_way.stale" in codes, "heads of before the restart are worth nothing"
        line.close()


# ---- the two ports


def test_the_mutual_port_still_asks_for_a_certificate_and_this_one_for_a_head(hub: Identity, silo: Identity) -> None:
    with serving(hub) as (port, echo):
        with raw_channel(port, hub.authority_pem, None, None) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary("/t.Echo/Unary")(b"", timeout=5)
        line = line_to(hub, silo, port, hub.authority_pem)
        assert isinstance(refused(line), Unreachable)
        line.close()
        assert echo.calls == 0
    with serving_one_way(hub, [silo], STUDY) as (port, echo):
        mutual = tls.channel(silo, f"localhost:{port}")
        with mutual, pytest.raises(IdentityError) as caught, calling("the aggregator"):
            mutual.unary_unary("/t.Echo/Unary")(b"", timeout=10)
        assert caught.value.code == "one_way.port"
        assert echo.calls == 0


def test_only_the_named_authorities_vouch_for_the_line(hub: Identity, silo: Identity) -> None:
    with through(hub, silo) as (_, echo, proxy), proxy.running() as port:
        line = line_to(hub, silo, port, hub.authority_pem)
        with pytest.raises(Unreachable), calling("the aggregator"):
            line.unary_unary("/t.Echo/Unary")(b"", timeout=3)
        line.close()
        assert echo.calls == 0
