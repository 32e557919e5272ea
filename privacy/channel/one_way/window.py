"""Which numbers of calls were used: each once, in any order within a window, as in IPsec (RFC 4303, section 3.4.3).

Calls overtake each other on their way, so the numbers need not rise strictly; one that is too far behind the highest is
refused as if it had been used. Clocks decide nothing.
"""

from privacy.channel.one_way.records import CODE_STALE
from privacy.errors import Unreachable

SIZE = 1024


class Window:
    """The used numbers of one silo since the aggregator started. Not thread-safe."""

    def __init__(self) -> None:
        self._highest = 0
        self._used = 1  # bit i: whether the number `highest - i` was used; 0 is none

    @property
    def highest(self) -> int:
        """The highest number that was used; 0 before the first."""
        return self._highest

    def take(self, number: int) -> None:
        """Use a number.

        Raises:
            Unreachable: it was used, or may have been.
        """
        ahead = number - self._highest
        if ahead > 0:
            self._used = ((self._used << min(ahead, SIZE)) | 1) & ((1 << SIZE) - 1)
            self._highest = number
            return
        bit = 1 << -ahead if -ahead < SIZE else 0
        if not bit or self._used & bit:
            raise stale()
        self._used |= bit


def stale() -> Unreachable:
    """The error for a call that is not fresh: the silo makes it anew, on a line that it begins anew."""
    return Unreachable("a call was made before, or before the aggregator was started again", code=CODE_STALE)
