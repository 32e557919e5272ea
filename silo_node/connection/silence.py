"""What a silo says while the aggregator does not answer: that and why at once, every hour, and when it is over.

A line that breaks and is there again within seconds is no news. Who waits and how long is `patience`'s affair.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from privacy.errors import CollegiumError
from silo_node.rounds.progress import Progress

AFTER_SECONDS = 2.0
"""Shorter silences are not told."""
LOOK_SECONDS = 60.0
"""How often it is looked anew why there is no answer."""
AGAIN_SECONDS = 3600.0
"""How often the same reason is told, however often the line comes and goes."""


class Silence:
    """Tells the log, the live status and the metrics of one silo, by its `progress`. For one thread.

    Its methods raise StorageError, as `progress` does when the disk refuses.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._since: float | None = None
        self._began = datetime.now(UTC)
        self._look_at = 0.0
        self._told: tuple[str, float] | None = None
        self._told_now = False

    def failed(self, why: Callable[[], CollegiumError]) -> None:
        """A call was not answered; `why` finds out the reason, which may take seconds, and is asked now and then."""
        now = time.monotonic()
        if self._since is None:
            self._since, self._began, self._look_at = now, datetime.now(UTC), now + AFTER_SECONDS
        if now < self._look_at:
            return
        error = why()
        now = time.monotonic()
        self._look_at = now + LOOK_SECONDS
        self._progress.unanswered(self._began, error.code)
        if self._told is None or self._told[0] != error.code or now >= self._told[1] + AGAIN_SECONDS:
            self._told, self._told_now = (error.code, now), True
            since = f"{self._began:%Y-%m-%d %H:%M:%S} UTC"
            self._progress.warn(error.code, f"the aggregator has not answered since {since}, and is asked on: {error}")

    def over(self) -> None:
        """A call was answered, or a part of it was."""
        if self._since is None:
            return
        seconds, told = time.monotonic() - self._since, self._told_now
        self._since, self._told_now = None, False
        self._progress.answered(round(seconds) if told else None)
