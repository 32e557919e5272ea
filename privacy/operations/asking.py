"""Whether the aggregator takes our calls: a real call as ourselves, of `grpc.health.v1`, and what it says of its clock.

It passes what every call passes there: certificate, expiry, consortium, role, roster, revocation, superseded
certificates, and on a one-way line who may use one. A second one asks whether a study is served.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from privacy.channel.one_way.line import Answers
from privacy.channel.status import calling
from privacy.errors import CollegiumError, ProtocolError, Unreachable
from privacy.operations.findings import Check, Doubtful, NotChecked
from privacy.wire import convert, health
from privacy.wire.heads import HeadQuery
from privacy.wire.health import Status

SECONDS = 15.0
SKEW_SECONDS = 120.0
"""How far two clocks may be apart."""
_SERVER, _STUDY = "", convert.SERVICE.full_name


@dataclass
class Asking:
    """One connection to the aggregator, and what it said there.

    Args:
        target: HOST:PORT.
        opened: opens the channel, which counts what leaves. What it raises is what the check found.
        closed: finds out why the line was closed, as `handshake.why_closed`, which has to be counted too.
    """

    target: str
    opened: Callable[[], AbstractContextManager[Any]]
    closed: Callable[[], CollegiumError]
    _ahead: timedelta | None = field(default=None, init=False)

    def checks(self) -> Iterator[Check]:
        """To be done after those of `route`, if these went well."""
        yield "aggregator", self.ask
        yield "aggregator's clock", self.clock

    def ask(self) -> str:
        """Whether we are served. Raises what refuses us; Doubtful: not now."""
        try:
            with self.opened() as channel, calling(f"the aggregator at {self.target}"):
                study = self._check(channel, _STUDY)
                if study is not Status.SERVING and self._check(channel, _SERVER) is Status.SERVING:
                    raise Doubtful(
                        "it takes our calls, but the rounds of its study are halted; its operator sees why with "
                        "'collegium-aggregator status'"
                    )
        except Unreachable as error:
            if isinstance(error.__cause__, grpc.RpcError) and error.code == Unreachable.default_code:
                raise self.closed() from error
            raise
        if study is not Status.SERVING:
            raise Doubtful(
                "it takes our calls, but is not ready; its operator sees why with 'collegium-aggregator doctor'"
            )
        return "takes our calls and serves"

    def clock(self) -> str:
        """How far its clock is from ours. Raises Doubtful: far."""
        if self._ahead is None:
            raise NotChecked("not compared, as it does not say its time; upgrade the aggregator, or compare by phone")
        seconds = self._ahead.total_seconds()
        if abs(seconds) > SKEW_SECONDS:
            raise Doubtful(
                f"its clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's; see "
                "which of the two is wrong, set it, and let NTP keep it"
            )
        return f"{abs(seconds):.0f} s from this machine's"

    def _check(self, channel: Any, service: str) -> Status:
        call, request = channel.unary_unary(health.CHECK, bytes, bytes), health.encode_check(service)
        before = datetime.now(UTC)
        answer, ended = call.with_call(request, timeout=SECONDS)
        self._ahead = _ahead(_time(ended), before, datetime.now(UTC))
        return health.decode_status(answer)


def serves(channel: Any, target: str, study_digest: bytes) -> bool:
    """Whether a study is served there, by a call without effect: what is known of our ledger. Raises what refuses."""
    request = convert.encode_head_query(HeadQuery(study_digest, secrets.token_bytes(32)))
    try:
        with calling(f"the aggregator at {target}"):
            channel.unary_unary(f"/{_STUDY}/AskHead", bytes, bytes)(request, timeout=SECONDS)
    except ProtocolError as error:
        if error.code != "study.unknown":
            raise
        return False
    return True


def _time(ended: Any) -> str:
    """What the aggregator says of its time: in the metadata of an answer, or signed on a one-way line."""
    if isinstance(ended, Answers):
        return ended.text
    return next((str(entry.value) for entry in ended.trailing_metadata() or () if entry.key == health.TIME_KEY), "")


def _ahead(said: str, before: datetime, after: datetime) -> timedelta | None:
    """How far the time that was said is ahead of the middle of the call; None if there is none to read."""
    try:
        return datetime.fromisoformat(said) - (before + (after - before) / 2)
    except (TypeError, ValueError):
        return None
