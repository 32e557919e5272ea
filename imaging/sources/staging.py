"""The local folder that an archive's images are put into: one file an image, whole or not there at all.

A file is written under a temporary name, flushed and renamed; its name is the SHA-256 of its SOP Instance
UID, so that no name says anything, and that an image which is there is not fetched again. Files are as they
came, with patients' names in them: folder 0700, files 0600.
"""

import hashlib
import os
import secrets
from pathlib import Path

from imaging.errors import ImagingError
from imaging.sources.archive import Received
from imaging.sources.errors import StorageRefused

IMAGES = "dicom"


class Staging:
    """The folder of one pull.

    Args:
        folder: is made where it is missing.
        instance_bytes: a larger image is refused.
    """

    def __init__(self, folder: Path, instance_bytes: int) -> None:
        self._images, self._limit = folder / IMAGES, instance_bytes
        self._images.mkdir(mode=0o700, exist_ok=True)
        for left in self._images.glob("*/.*"):
            left.unlink()  # what a killed pull was writing

    def has(self, series: str, instance: str) -> bool:
        """Whether an image is there."""
        return self._path(series, instance).is_file()

    def count(self, series: str) -> int:
        """Images of a series that are there."""
        return sum(1 for _ in self._folder(series).glob("*.dcm"))

    def put(self, series: str, received: Received) -> None:
        """Keep an image durably.

        Raises:
            ImagingError: `pull.too_large`, `pull.storage`.
        """
        if len(received.data) > self._limit:
            raise ImagingError(
                f"an image of more than {self._limit} bytes came; raise limits.instance_megabytes if it is wanted",
                "pull.too_large",
            )
        path = self._path(series, received.instance)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(received.data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageRefused(
                f"the disk refused an image ({error.strerror}); make room, then pull again: it goes on", "pull.storage"
            ) from error

    def settle(self, series: str) -> None:
        """Make the names of a series' files durable (POSIX fsync of the folders)."""
        for folder in (self._folder(series), self._images):
            if folder.is_dir():
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _folder(self, series: str) -> Path:
        return self._images / hashlib.sha256(series.encode()).hexdigest()[:32]

    def _path(self, series: str, instance: str) -> Path:
        return self._folder(series) / f"{hashlib.sha256(instance.encode()).hexdigest()}.dcm"
