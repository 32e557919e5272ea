"""`verify-release`, the same for every program: whether a bundle is what its publisher made, before it is installed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from privacy.console import AsJson
from privacy.operations import findings
from privacy.release.checks import checks


def verifying(program: str, packages: Sequence[str]) -> Callable[..., None]:
    """The command as that of `program`, which consists of these packages."""

    def verify_release(
        folder: Annotated[Path, typer.Argument(help="Folder that the offline bundle was unpacked to.")],
        key: Annotated[
            list[str],
            typer.Option(
                help="Fingerprint of the publisher's key, got from elsewhere than the bundle. May be repeated."
            ),
        ],
        as_json: AsJson = False,
    ) -> None:
        findings.show(findings.examine(checks(folder, key, packages)), as_json=as_json)

    verify_release.__doc__ = f"""Check a release before it is installed: who signed it, every file, and this program.

    Works without the internet, from the folder alone. Exits with the first failure's code.

    Example: {program} verify-release collegium-0.1.0 --key "1f2e 3d4c ... 9a8b"
    """
    return verify_release
