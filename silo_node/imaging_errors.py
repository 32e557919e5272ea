"""Turns what `imaging` refuses into the node's own typed error, with the same code and sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from imaging.errors import ImagingError
from privacy.errors import DataError


@contextmanager
def imaging_errors() -> Iterator[None]:
    """Raise DataError for an ImagingError."""
    try:
        yield
    except ImagingError as error:
        raise DataError(str(error), code=error.code) from error
