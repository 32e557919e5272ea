"""Passphrases: out of a file that only its owner may read, or typed; never out of arguments or the environment."""

import sys
from pathlib import Path

import typer

from privacy.channel.files import Secret, read_secret
from privacy.errors import ConfigError

SHORTEST = 12
"""Characters that a new passphrase has at least."""


def read(path: Path) -> str:
    """The passphrase in a file, without the end of the line.

    Raises:
        IdentityError: the file is missing or others may read it. ConfigError: it is no text.
    """
    try:
        return read_secret(path, Secret.PASSPHRASE).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} does not hold a passphrase") from error


def ask(what: str, *, confirm: bool = False) -> str:
    """Have the passphrase of `what` typed.

    Raises:
        ConfigError: there is no terminal to type it on.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the passphrase of {what} is needed, and there is no terminal to ask for it; give --passphrase-file",
            code="config.no_passphrase",
        )
    return str(typer.prompt(f"Passphrase of {what}", hide_input=True, confirmation_prompt=confirm, err=True))


def check_new(passphrase: str) -> None:
    """Check that a passphrase is long enough for a new key.

    Raises:
        ConfigError: it is not.
    """
    if len(passphrase) < SHORTEST:
        raise ConfigError(f"the passphrase has fewer than {SHORTEST} characters; choose a longer one")
