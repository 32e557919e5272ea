"""Renews the silo's certificate while it takes part: nobody at the hospital needs to think of it.

From two thirds of the certificate's life on, the request for the next one is given to the aggregator every hour, until
the consortium's answer is there; it is then taken up on a new connection. What fails is told and tried again: the
certificate that is in use goes on until it expires.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from privacy.channel import renewal
from privacy.channel.identity import Identity
from privacy.errors import CollegiumError
from silo_node.connection.client import AggregatorClient

EVERY_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class Renewing:
    """The renewal of one silo's certificate over one client.

    Args:
        folder: its identity folder.
        identity: the identity in use.
        client: whose connection it is asked over, and is made anew with the answer.
        clock: the present, aware.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        client: AggregatorClient,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._identity, self._client, self._clock = folder, identity, client, clock

    def step(self) -> bool:
        """Ask, if it is time to, and take an answer up; whether there was one.

        Raises:
            CollegiumError: no answer, a refused request or an unusable answer; the present certificate stays in use.
        """
        if not renewal.due(self._identity.certificate, self._clock()):
            return False
        request = renewal.asked(self._folder, self._identity)
        answer = self._client.renew(request.model_dump_json().encode())
        if not answer:
            return False
        self._identity = renewal.take(self._folder, self._identity, answer, self._clock())
        self._client.reconnect(self._identity)
        _log.info("the certificate is renewed until %s", self._identity.certificate.not_valid_after_utc)
        return True

    @contextmanager
    def running(self, every: float = EVERY_SECONDS) -> Iterator[None]:
        """Meanwhile look every so many seconds."""
        over = threading.Event()

        def work() -> None:
            while True:
                try:
                    self.step()
                except CollegiumError as error:
                    _log.warning("the certificate is not renewed yet: %s [%s]", error, error.code)
                except Exception as error:  # noqa: BLE001 - a defect here must not end all renewal; it is told each time
                    _log.error("the certificate is not renewed, by a defect of this program: %s", type(error).__name__)
                if over.wait(every):
                    return

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5.0)
