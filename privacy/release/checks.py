"""What is checked of a release before it is installed, a row a check; from files alone, without the internet.

Who published it and that every file is the published one; and whether the code that runs here is that of the release.
That a release is the newest, or free of faults, is not checked.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from privacy import regular
from privacy.errors import CollegiumError, CorruptState
from privacy.ledger.facts import software
from privacy.operations.findings import Check, Doubtful
from privacy.release.manifest import MANIFEST, SIGNATURE, Release, ReleasedFile, load

BLOCK = 2**20


def checks(folder: Path, trusted: Sequence[str], packages: Sequence[str]) -> Iterator[Check]:
    """All of them; those after the signature say that they were not done when it is wrong.

    Args:
        folder: what the bundle was unpacked to.
        trusted: fingerprints of the keys that releases may be signed with.
        packages: what the program consists of that runs now.
    """
    found: Release | CollegiumError
    try:
        found = load(folder, trusted)
    except CollegiumError as error:
        found = error
    yield "signature", partial(_signature, found)
    yield "files", partial(_files, folder, found)
    yield "nothing else", partial(_nothing_else, folder, found)
    yield "this program", partial(_this_program, found, tuple(packages))


def _signature(found: Release | CollegiumError) -> str:
    release = _or_raise(found)
    return f"version {release.version}, commit {release.revision[:12]}"


def _files(folder: Path, found: Release | CollegiumError) -> str:
    release = _trusted(found)
    wrong = [file.path for file in release.files if not _is(folder, file)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CorruptState(
            f"missing or altered: {', '.join(wrong[:3])}{more}; fetch the release again, and tell who publishes it",
            code="release.altered",
        )
    return f"{len(release.files)} files, {sum(file.size for file in release.files) / 2**20:.0f} MiB, as published"


def _nothing_else(folder: Path, found: Release | CollegiumError) -> str:
    known = {file.path for file in _trusted(found).files} | {MANIFEST, SIGNATURE}
    added = sorted(set(_below(folder)) - known)
    if added:
        shown = "".join(c if c.isprintable() else "?" for c in added[0])[:80]
        raise CorruptState(
            f"{len(added)} files are not of the release, for instance {shown}; remove them, or fetch the release again",
            code="release.added",
        )
    return "no other file"


def _this_program(found: Release | CollegiumError, packages: tuple[str, ...]) -> str:
    release = _trusted(found)
    running = software.inventory(packages)
    for name, digest in release.code.items():
        if digest == running["code"]:
            return f"is that of the release ({name})"
    raise Doubtful(
        f"is not of this release, but version {running['version']} or altered; install the release's to run what was "
        "verified"
    )


def _or_raise(found: Release | CollegiumError) -> Release:
    if isinstance(found, CollegiumError):
        raise found
    return found


def _trusted(found: Release | CollegiumError) -> Release:
    if isinstance(found, CollegiumError):
        raise Doubtful("not looked at, since nobody trusted vouches for the list")
    return found


def _is(folder: Path, file: ReleasedFile) -> bool:
    """Whether a file is there, not behind a link, and has its size and digest."""
    path = folder
    for part in file.path.split("/"):
        path /= part
        if path.is_symlink():
            return False
    try:
        digest = hashlib.sha256()
        with regular.opened(path) as opened:
            if os.fstat(opened.fileno()).st_size != file.size:
                return False
            while block := opened.read(BLOCK):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == file.sha256


def _below(folder: Path) -> Iterator[str]:
    """Everything that is no folder, by its path below `folder`; links are not followed."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *links):
            yield (here / name).relative_to(folder).as_posix()
