"""What a doctor finds: one row a check, with what was found and how to mend it, and the exit code of the worst.

A check is a function that says what it found, or raises: a typed error is a failure, whose sentence says what is wrong
and, after its semicolon, what to do; `Doubtful` is something that will fail later, `NotChecked` what could not be
looked at. The checks themselves are elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from privacy import console
from privacy.digest import Json
from privacy.errors import CollegiumError

WELL, DOUBTFUL, FAILED, SKIPPED = "ok", "warning", "FAILED", "skipped"


class Doubtful(CollegiumError):
    """Nothing is broken yet, but somebody should act."""

    default_code = "doctor.doubtful"


class NotChecked(CollegiumError):
    """It could not be looked at, which says nothing about it."""

    default_code = "doctor.not_checked"


@dataclass(frozen=True)
class Finding:
    """One row: the check, how it went, what was found, how to mend it; `error` is what a failure raised."""

    check: str
    state: str
    found: str
    mend: str = ""
    error: CollegiumError | None = None


Check = tuple[str, Callable[[], str]]


def examine(checks: Iterable[Check]) -> list[Finding]:
    """Do every check, whatever the others found."""
    found = []
    for name, look in checks:
        try:
            found.append(Finding(name, WELL, look()))
        except Doubtful as error:
            found.append(_finding(name, DOUBTFUL, error))
        except NotChecked as error:
            found.append(_finding(name, SKIPPED, error))
        except CollegiumError as error:
            found.append(_finding(name, FAILED, error))
    return found


def in_order(checks: Iterable[Check]) -> Iterator[Check]:
    """The same checks, each done only if none before it failed, for the steps of one way: the first says what to do."""
    failed: list[str] = []
    for name, look in checks:
        yield name, partial(_step, name, look, failed)


def begun(name: str, checks: Callable[[], Iterable[Check]]) -> tuple[Check, ...]:
    """Checks `in_order`; where not even they can be made, one of this name that fails with what was raised."""
    try:
        return tuple(in_order(checks()))
    except CollegiumError as error:
        return ((name, partial(_fail, error)),)


def _fail(error: CollegiumError) -> str:
    raise error


def _step(name: str, look: Callable[[], str], failed: list[str]) -> str:
    if failed:
        raise NotChecked(f"not looked at, as '{failed[0]}' failed")
    try:
        return look()
    except (Doubtful, NotChecked):
        raise
    except CollegiumError:
        failed.append(name)
        raise


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print the table.

    Raises:
        CollegiumError: the first failure, so that its exit code is the command's.
    """
    failed = [one for one in findings if one.error is not None and one.state == FAILED]
    if as_json:
        rows: list[Json] = [
            {
                "check": one.check,
                "state": one.state.lower(),
                "found": one.found,
                "mend": one.mend,
                "code": one.error.code if one.error else None,
            }
            for one in findings
        ]
        console.emit({"well": not failed, "checks": rows}, as_json=True)
    else:
        width = max((len(one.check) for one in findings), default=0)
        for one in findings:
            print(f"{one.state:<7}  {one.check:<{width}}  {one.found}")
            if one.mend:
                print(f"{'':<7}  {'':<{width}}  -> {one.mend}")
    if failed and (error := failed[0].error) is not None:
        raise error


def _finding(name: str, state: str, error: CollegiumError) -> Finding:
    found, _, mend = str(error).partition("; ")
    return Finding(name, state, found, mend, error)
