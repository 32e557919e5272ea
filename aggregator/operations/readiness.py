"""Whether a running aggregator can do its work, for `/readyz` and the health service. It asks, and changes nothing.

There is no answer at all before its rounds are recovered: only then does it serve. A study that halted does not make
it unready: silos that a person let go on, or that fetch what convicts, must still reach it, and an orchestrator that
takes an unready server out of their way would keep them from it for good.
"""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from privacy.channel import certificate
from privacy.channel.enrolment import IDENTITY_FOLDER
from privacy.channel.identity import CERTIFICATE_FILE
from privacy.errors import IdentityError

LEAST_FREE_BYTES = 2**24
"""Below this not even the small messages of a round find room. Above it a round can end, which frees its uploads."""


class Readiness:
    """What a running aggregator lacks.

    Args:
        state: its state directory; its certificate there is read each time, as a renewed one serves without a restart.
        ending: whether it is being stopped.
    """

    def __init__(self, state: Path, ending: Callable[[], bool]) -> None:
        self._state, self._ending = state, ending

    def lacking(self) -> Sequence[str]:
        """Why it is not ready, a sentence each; empty when it is."""
        return tuple(self._missing())

    def _missing(self) -> Sequence[str]:
        missing = []
        if self._ending():
            missing.append("it is being stopped")
        try:
            held = certificate.read(self._state / IDENTITY_FOLDER / CERTIFICATE_FILE)
            certificate.check_dates(held, datetime.now(UTC), "our own")
        except IdentityError as error:  # no silo would connect
            missing.append(str(error))
        try:
            found = os.statvfs(self._state)
        except OSError:
            return [*missing, "the state directory cannot be read"]
        if found.f_flag & os.ST_RDONLY:
            missing.append("the disk of the state directory is read-only")
        elif found.f_bavail * found.f_frsize < LEAST_FREE_BYTES:
            missing.append("the disk of the state directory is full")
        return missing
