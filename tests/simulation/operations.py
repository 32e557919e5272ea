"""What may happen in a history: a list of operations, each a plain value that can be written down as a literal.

Parties are numbers: 0 is the aggregator, silos count from 1. A `step` is the n-th durable step (fsync) or the n-th
sending or answering of a call of that party, over all of its processes; a `call` is a silo's n-th call. Times are
virtual seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


class Way(StrEnum):
    """How a call goes wrong."""

    REQUEST = "request lost"
    RESPONSE = "response lost"
    LATE = "request late"
    """The caller is told that it was lost; it arrives later, after what was sent since: reordered."""
    TWICE = "request twice"
    BROKEN = "stream broken"


@dataclass(frozen=True)
class Fault:
    """A silo's n-th call meets this."""

    silo: int
    call: int
    way: Way
    seconds: int = 0
    parts: int = 0


@dataclass(frozen=True)
class Kill:
    """A process is killed at a step and started again; a reboot also empties its memory-backed folder."""

    party: int
    step: int
    after: int = 1
    reboot: bool = False


@dataclass(frozen=True)
class Leave:
    """A silo is gone for good."""

    silo: int
    step: int


@dataclass(frozen=True)
class Disk:
    """From a step on the disk refuses so many writes: it is full, or fsync fails."""

    party: int
    step: int
    writes: int = 1
    full: bool = True


@dataclass(frozen=True)
class Restore:
    """The folder as it was at step `copied` is put back at a later step, and the process started on it."""

    party: int
    copied: int
    step: int


@dataclass(frozen=True)
class Slow:
    """A silo trains so long, and each of its messages takes so long one way."""

    silo: int
    training: int
    milliseconds: int = 5


@dataclass(frozen=True)
class Cut:
    """No call of a silo gets through for a while."""

    silo: int
    at: int
    seconds: int


@dataclass(frozen=True)
class Jump:
    """A party's wall clock jumps; 0 is the aggregator's."""

    party: int
    at: int
    hours: int


@dataclass(frozen=True)
class Revoke:
    """The consortium revokes a silo; its operator puts the new roster statement beside the aggregator."""

    silo: int
    at: int


@dataclass(frozen=True)
class Expire:
    """A party's certificate expires, and is renewed a while later; 0 is the aggregator's."""

    party: int
    at: int
    renewed: int


@dataclass(frozen=True)
class Join:
    """A silo starts only then."""

    silo: int
    at: int


Operation = Fault | Kill | Leave | Disk | Restore | Slow | Cut | Jump | Revoke | Expire | Join


def histories(silos: int, most: int = 6) -> SearchStrategy[tuple[Operation, ...]]:
    """Lists of operations for so many silos, with shrinking towards few, early and mild ones."""
    silo, party = st.integers(1, silos), st.integers(0, silos)
    step, call, at = st.integers(1, 390), st.integers(1, 66), st.integers(0, 120)
    one = st.one_of(
        st.builds(Fault, silo, call, st.sampled_from(Way), st.integers(0, 90), st.integers(0, 3)),
        st.builds(Kill, party, step, st.integers(0, 90), st.booleans()),
        st.builds(Slow, silo, st.integers(0, 90), st.sampled_from((1, 5, 500, 5000))),
        st.builds(Disk, party, step, st.integers(1, 5), st.booleans()),
        st.builds(Leave, silo, step),
        st.builds(Join, silo, at),
        st.builds(Cut, silo, at, st.integers(1, 200)),
        st.builds(Restore, party, step, step),
        st.builds(Jump, party, at, st.integers(-1000, 1000)),
        st.builds(Revoke, silo, at),
        st.builds(Expire, silo, at, st.integers(1, 120)),
        # Most lines are opened early.
        st.builds(Expire, st.just(0), st.integers(0, 20), st.integers(1, 120)),
    )
    return st.lists(one, max_size=most).map(tuple)
