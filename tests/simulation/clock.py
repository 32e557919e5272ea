"""Virtual time: seconds that pass when nobody has anything to do, and wall clocks that may jump.

Stands in for the modules `time` and `datetime` in the few places where the programs read a clock themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2030, 1, 1, tzinfo=UTC)
"""When every history begins."""


@dataclass(frozen=True)
class VirtualTime:
    """What the programs have instead of the module `time`."""

    now: Callable[[], float]
    sleep: Callable[[float], None]

    def monotonic(self) -> float:
        return self.now()

    def time(self) -> float:
        return START.timestamp() + self.now()


def virtual_datetime(now: Callable[[], float], offset: Callable[[], timedelta]) -> type[datetime]:
    """What the programs have instead of `datetime`: its `now` is virtual, `offset` the acting machine's error."""

    class VirtualDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return (START + timedelta(seconds=now()) + offset()).astimezone(tz)

    return VirtualDatetime
