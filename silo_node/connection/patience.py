"""How long a silo tries to be answered: with jittered back-off, until no step forward was made for so many seconds.

No answer passes, and so does a refusal by the aggregator's disk; every other refusal is final. What is asked must bear
to be asked again.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import grpc

from privacy.channel import limits
from privacy.channel.one_way import records
from privacy.channel.status import calling
from privacy.errors import CollegiumError, StorageError, Unreachable
from silo_node.connection.silence import Silence

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 15.0
PEER_STORAGE = "peer.storage"
"""The aggregator's disk refuses."""
SAYS_WHY = (PEER_STORAGE, limits.BUSY, records.CODE_ALTERED, records.CODE_STALE)
"""Failures that need no diagnosis: the aggregator, or the line, has said what is wrong."""

ResultT = TypeVar("ResultT")


class Patience:
    """The patience of one silo with one aggregator.

    Args:
        peer: how sentences name the aggregator.
        seconds: without any answer or step forward, after which it ends.
        diagnose: finds out why there is no answer, once it has ended, and now and then before.
        silence: tells meanwhile that there is no answer; nobody is told when left out.
    """

    def __init__(
        self, peer: str, seconds: float, diagnose: Callable[[], CollegiumError], silence: Silence | None = None
    ) -> None:
        self._peer, self._seconds, self._diagnose, self._silence = peer, seconds, diagnose, silence

    def until_answered(self, call: Callable[[], ResultT], progress: Callable[[], int] = lambda: 0) -> ResultT:
        """Call until there is an answer; the patience runs from the first failure since `progress` changed.

        Raises:
            CollegiumError: it ended, and this is why there is no answer; or the answer is a refusal.
        """
        seen, backoff = progress(), FIRST_BACKOFF_SECONDS
        failing_since: float | None = None
        while True:
            try:
                with asking(self._peer):
                    answer = call()
            except Unreachable as error:
                if progress() != seen:
                    self._answered()
                if failing_since is None or progress() != seen:
                    seen, failing_since, backoff = progress(), time.monotonic(), FIRST_BACKOFF_SECONDS
                if time.monotonic() + backoff > failing_since + self._seconds:
                    why = self._why(error)
                    raise why from (error.__cause__ if why is error else error)
                if self._silence is not None:
                    self._silence.failed(partial(self._why, error))
            except CollegiumError:
                self._answered()
                raise
            else:
                self._answered()
                return answer
            time.sleep(backoff * (0.5 + secrets.randbelow(1000) / 1000))
            backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)

    def _answered(self) -> None:
        if self._silence is not None:
            self._silence.over()

    def _why(self, error: Unreachable) -> CollegiumError:
        # gRPC says "Socket closed" to everything; a person needs to know why.
        return error if error.code in SAYS_WHY else self._diagnose()


@contextmanager
def asking(peer: str) -> Iterator[None]:
    """As `calling`; a disk that refuses at the other end passes like a line that is down, one that refuses here not."""
    try:
        with calling(peer):
            yield
    except StorageError as error:
        if isinstance(error.__cause__, grpc.RpcError):
            raise Unreachable(str(error), code=PEER_STORAGE) from error
        raise
