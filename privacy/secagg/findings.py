"""One answer to a sum: every check is done to its end, and the refusal does not say which one failed.

What an aggregator sees of a refusal, its code and how long it took, must not tell how a sum was wrong: answers to sums
of its own making are what recovers a CKKS key. So no check of a sum ends at the first fault; faults are noted, the
same work is done whatever was found, and one refusal is raised at the end. The cause is kept for the silo's own log.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from privacy.errors import ProtocolError

REFUSED = "sum.refused"


class Findings:
    """Notes faults while checks go on; `settle` must be called at the end."""

    def __init__(self) -> None:
        self._faults: list[ProtocolError] = []

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a fault that is found within, and go on after it; a failure of our own machine is passed on."""
        try:
            yield
        except ProtocolError as error:
            self._faults.append(error)

    def settle(self) -> None:
        """Nothing, if nothing was noted.

        Raises:
            ProtocolError: `sum.refused`, from the first fault.
        """
        if self._faults:
            raise refusal() from self._faults[0]


def refusal() -> ProtocolError:
    """The one refusal of a list or a sum."""
    return ProtocolError(
        "the aggregator's sum or survivor list is not in order; the study halts here until a person looks", code=REFUSED
    )
