"""Renews the silo's certificate while it takes part: nobody at the hospital needs to think of it.

From two thirds of the certificate's life on, the request for the next one is given to the aggregator every hour, until
the consortium's answer is there; it is then taken up on a new connection. What fails is told and tried again: the
certificate that is in use goes on until it expires.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from privacy.channel import renewal
from privacy.channel.identity import Identity
from privacy.errors import CollegiumError
from privacy.operations.events import SILENT, Events
from privacy.operations.logs import defect
from silo_node.connection.client import AggregatorClient

EVERY_SECONDS = 3600.0


class Renewing:
    """The renewal of one silo's certificate over one client.

    Args:
        folder: its identity folder.
        identity: the identity in use.
        client: whose connection it is asked over, and is made anew with the answer.
        clock: the present, aware.
        events: told of a renewal, and of what fails.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        client: AggregatorClient,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        events: Events = SILENT,
    ) -> None:
        self._folder, self._identity, self._client, self._clock = folder, identity, client, clock
        self._events = events

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
        self._events.say("renewed", None, until=self._identity.certificate.not_valid_after_utc.isoformat())
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
                    sentence = f"the certificate is not renewed yet: {error}"
                    self._events.say("warning", None, code=error.code, sentence=sentence)
                except Exception as error:  # noqa: BLE001 - a defect here must not end all renewal; it is told each time
                    self._events.say("defect", None, **defect(error))
                if over.wait(every):
                    return

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5.0)
