"""Who did it and why, as a person gives them for the ledger, and the options that ask for them."""

from typing import Annotated

import typer

from privacy import console
from privacy.errors import ConfigError

LONGEST = 500
"""Characters of a reason or a name."""
Reason = Annotated[str, typer.Option(help="Why, for the ledger. No patient data.")]
By = Annotated[str | None, typer.Option(help="Who does this, for the ledger.", show_default="your user name")]


def who(by: str | None) -> str:
    """Who it is, without white space around: the system's user where nobody is named. Raises ConfigError as `text`."""
    return text("--by", console.user_name() if by is None else by)


def checked(by: str | None, reason: str) -> tuple[str, str]:
    """Who, and why. Raises ConfigError as `text`."""
    return who(by), text("--reason", reason)


def text(option: str, value: str) -> str:
    """What was given for an option, without white space around it.

    Raises:
        ConfigError: it is empty or too long.
    """
    found = value.strip()
    if not 1 <= len(found) <= LONGEST:
        raise ConfigError(f"{option} needs 1 to {LONGEST} characters")
    return found
