"""Turns what `imaging` refuses into the node's own typed error, with the same code and sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from imaging.errors import ImagingError
from imaging.sources.errors import ArchiveUnreachable, StorageRefused
from privacy.errors import CollegiumError, DataError, StorageError, Unreachable

_KINDS: dict[type[ImagingError], type[CollegiumError]] = {
    ArchiveUnreachable: Unreachable,
    StorageRefused: StorageError,
}


@contextmanager
def imaging_errors() -> Iterator[None]:
    """Raise DataError for an ImagingError; Unreachable or StorageError where it is one of these."""
    try:
        yield
    except ImagingError as error:
        raise _KINDS.get(type(error), DataError)(str(error), code=error.code) from error
