"""When an upload leaves: at a slot that the study names, not when training happens to end.

How long training takes depends on the patients that were drawn; the aggregator and the network see when an upload
starts. So it waits for the next multiple of the slot, counted from when this silo saw U2 frozen, also when training
was shorter than one slot. What still shows is the number of slots: a training that misses the first is recorded. It
does not know what is sent, and says nothing about sizes, which the study fixes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class UploadSlot:
    """The slots of one study at one silo.

    Args:
        seconds: length of a slot; 0 means that uploads leave at once.
        clock: seconds, monotonic; only differences matter.
        sleep: waits for so many seconds.
    """

    seconds: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, start: float) -> int:
        """Wait for the next slot since `start`, a reading of `clock`; returns how many slots were missed."""
        if not self.seconds:
            return 0
        slot = max(1, math.ceil((self.clock() - start) / self.seconds))
        while (left := start + slot * self.seconds - self.clock()) > 0:
            self.sleep(left)
        return slot - 1
