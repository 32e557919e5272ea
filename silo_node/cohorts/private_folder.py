"""A new folder of pictures for this hospital's eyes: 0700, its files 0600, whole or not there."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from privacy import durable
from privacy.errors import ConfigError


def check(folder: Path) -> None:
    """Refuse what is there already, before any work is done.

    Raises:
        ConfigError: `output.exists`.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError("the output exists already; choose another name", code="output.exists")


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder with these files.

    Raises:
        ConfigError: `output.exists`. StorageError: the disk refused; nothing is kept.
    """
    check(folder)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise durable.storage_error(error, folder) from error
    try:
        for name, data in files.items():
            durable.create(folder / name, data)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
