"""`collegium-aggregator backup`: a copy of the state while `serve` runs, or a look at one. Changes no state."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from privacy import console
from privacy.console import AsJson
from privacy.errors import ConfigError

KEYS_APART = "identity/ and cosigner.key, which hold keys, are not in it: keep a copy of them apart"


def backup(
    state: Annotated[Path | None, typer.Option(help="State directory of this aggregator.", show_default=False)] = None,
    to: Annotated[Path | None, typer.Option(help="A new or empty folder for the copy.", show_default=False)] = None,
    check: Annotated[
        Path | None, typer.Option(help="Only verify the backup in this folder.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy ledger, studies and settings while 'serve' runs, and verify the copy; or verify one that is there.

    No key is in it: keep identity/ and cosigner.key apart, once. To restore, put both into an empty state directory and
    run 'serve' there; the ledger says that a backup was put back, and silos lose what came after it.

    Example: collegium-aggregator backup --state /var/lib/collegium --to /backup/collegium-monday
    """
    # Lazily, so that the other commands need not load it.
    from aggregator.storage import backup as backups

    if (check is None) == (state is None) or (state is None) != (to is None):
        raise ConfigError("name --state and --to to make a backup, or --check alone to verify one")
    if check is not None:
        manifest = backups.check(check)
    elif state is not None and to is not None:
        manifest = backups.back_up(state, to, datetime.now(UTC))
    frames = sum(manifest.studies.values())
    console.emit(
        {
            "time": manifest.time,
            "of": manifest.origin,
            "ledger_entries": manifest.ledger_size,
            "studies": len(manifest.studies),
            "frames": frames,
            "verified": True,
            "keys": KEYS_APART,
        },
        as_json=as_json,
    )
