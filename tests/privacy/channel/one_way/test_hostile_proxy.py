"""What a hostile proxy that opens TLS does to a one-way line only disturbs it: no altered call or answer is taken."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import grpc
import pytest

from privacy.channel.identity import Identity
from privacy.channel.one_way.records import BEGIN, HEAD_KEY, STATUS_KEY
from privacy.channel.status import CODE_KEY, KIND_KEY, calling
from privacy.errors import IdentityError, PolicyRefused, ProtocolError, Unreachable
from tests.privacy.channel.breaking_proxy import BreakingProxy, Metadata
from tests.privacy.channel.one_way.lines import NAME, call, refused, through


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
