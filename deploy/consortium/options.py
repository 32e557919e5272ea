"""Options that commands of `collegium-consortium` share, and the directory opened with them."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.consortium.authority import Authority
from privacy.channel import passphrase
from privacy.channel.roster_statement import MAX_LIFE

Directory = Annotated[Path, typer.Option("--dir", help="The consortium's directory.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Days = Annotated[int, typer.Option(min=1, max=MAX_LIFE.days, help="How long the statement holds.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="File that holds the passphrase of the consortium's keys.",
        envvar="COLLEGIUM_PASSPHRASE_FILE",
        show_default="ask, if they have one",
    ),
]


def words(file: Path | None, *, confirm: bool = False) -> str:
    """The passphrase of the consortium's keys: in the file, or typed. Raises as `privacy.channel.passphrase`."""
    return passphrase.ask("the consortium's keys", confirm=confirm) if file is None else passphrase.read(file)


def opened(directory: Path, passphrase_file: Path | None) -> Authority:
    """The consortium in `directory`; its passphrase is asked for only if its keys have one. As `Authority.open`."""
    return Authority.open(directory, lambda: words(passphrase_file))
