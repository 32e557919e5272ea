"""Who and why, as a person gives them for the ledger, and the options that ask for them."""

from typing import Annotated

import typer

from privacy import console
from privacy.errors import ConfigError

LONGEST = 500
"""Characters of a reason or a name."""
Reason = Annotated[str, typer.Option(help="Why, for the ledger. No patient data.")]
By = Annotated[str | None, typer.Option(help="Who decides, for the ledger.", show_default="your user name")]


def checked(by: str | None, reason: str) -> tuple[str, str]:
    """Both without white space around them.

    Raises:
        ConfigError: one is empty or too long.
    """
    who, why = (by if by is not None else console.user_name()).strip(), reason.strip()
    if not who or not why or max(len(who), len(why)) > LONGEST:
        raise ConfigError(f"--by and --reason need 1 to {LONGEST} characters each")
    return who, why
