"""Bounds what glibc's allocator keeps beside what is in use.

It gives threads up to eight arenas for each core, and each keeps much of the most that it ever held. An aggregator's
calls hold a frame or two each in threads that change: `benchmarks.load` found a peak of 400 MB with four arenas, 470 MB
with the 16 of two cores and 600 MB with those of 64.
"""

import ctypes

ARENAS = 4
_M_ARENA_MAX = -8


def few_arenas() -> None:
    """Let this process have at most `ARENAS`; to be called before it starts threads. Nothing under another libc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
