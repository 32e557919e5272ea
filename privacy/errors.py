"""The typed errors of Collegium, each with a stable code and an exit code.

A check raises one of these; it never returns a bool. The message is one sentence that says what is
wrong and what to do, and never holds a patient value, a path inside a cohort or a UID. Misuse of a
state machine by our own code is a plain `RuntimeError` and is not listed here. Exit codes are part
of the interface (docs/reference/exit-codes.md) and never change meaning.
"""

from typing import ClassVar


class CollegiumError(Exception):
    """Base of all errors that a person or a peer is told about.

    Args:
        message: one sentence: what is wrong and what to do.
        code: stable dotted code, `<area>.<what>`; defaults to the class's own.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class ConfigError(CollegiumError):
    """A configuration file or argument is missing, malformed or has an unknown key."""

    exit_code = 2
    default_code = "config.invalid"


class StudyError(CollegiumError):
    """A study is malformed, unsigned, altered or signed by another consortium."""

    exit_code = 3
    default_code = "study.invalid"


class PolicyRefused(CollegiumError):
    """The hospital's own policy, or the lack of an approval, forbids it."""

    exit_code = 4
    default_code = "policy.refused"


class BudgetExceeded(CollegiumError):
    """The privacy budget of a cohort does not cover what was asked."""

    exit_code = 5
    default_code = "budget.exceeded"


class IdentityError(CollegiumError):
    """A certificate, key, token or signature does not belong to a known party."""

    exit_code = 6
    default_code = "identity.refused"


class ProtocolError(CollegiumError):
    """A peer's message breaks the protocol; `code` names how."""

    exit_code = 7
    default_code = "protocol.violation"


class CorruptState(CollegiumError):
    """Something stored (ledger, state, model) is not what was written."""

    exit_code = 8
    default_code = "state.corrupt"


class StorageError(CollegiumError):
    """The disk refused a write (full, read-only, failing); nothing half-written was kept."""

    exit_code = 9
    default_code = "storage.failed"


class AlreadyRunning(CollegiumError):
    """Another process holds this state directory."""

    exit_code = 10
    default_code = "state.locked"


class DataError(CollegiumError):
    """Images or labels cannot be used as given (for instance a label without its patient)."""

    exit_code = 11
    default_code = "data.invalid"


class PreflightFailed(CollegiumError):
    """A study's model or loss, or this machine's training code, would break the privacy guarantee."""

    exit_code = 12
    default_code = "preflight.failed"


class RoundAbandoned(CollegiumError):
    """A round ended without a sum (too few silos or past the deadline); its budget stays spent."""

    exit_code = 13
    default_code = "round.abandoned"


class WorkerFailed(CollegiumError):
    """A helper process of our own ended before its work was done."""

    exit_code = 14
    default_code = "worker.failed"


class Unreachable(CollegiumError):
    """The peer does not answer; trying again later may work (EX_TEMPFAIL)."""

    exit_code = 75
    default_code = "peer.unreachable"
