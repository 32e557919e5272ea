"""What an entry is about but must not say for good: details in a side store, of which the entry holds a commitment.

The commitment is HMAC-SHA-256 under a random salt of 32 bytes that lies with the details. While they are there it
proves them; once they and the salt are erased it says nothing, not even to whoever guesses what they were, and the
entry and its signature stay valid. Everything that personal data of staff or a path may be needed for belongs here,
never patient data. What erasing means is the disk's business too: backups and snapshots have their own copies.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from privacy import durable, regular
from privacy.digest import Json, canonical_json
from privacy.errors import CorruptState
from privacy.ledger.files import unhex, unreadable

FOLDER = "details"
CONTEXT = b"collegium/v1/ledger-details\x00"
SALT_BYTES = 32
_FILE = re.compile(r"[0-9a-f]{64}\.json")


def commitment(salt: bytes, details: Mapping[str, Json]) -> str:
    """HMAC-SHA-256 under the salt over the details in canonical JSON, hex."""
    return hmac.new(salt, CONTEXT + canonical_json(details), hashlib.sha256).hexdigest()


class SideStore:
    """The details of a ledger's entries, a file each, named by the commitment.

    Args:
        ledger: the ledger's folder.
    """

    def __init__(self, ledger: Path) -> None:
        self._folder = ledger / FOLDER

    def put(self, details: Mapping[str, Json]) -> str:
        """Keep details durably under a new salt; gives the commitment.

        Raises:
            ValueError: they are not plain JSON data.
            StorageError: the disk refused; nothing is kept.
        """
        salt = secrets.token_bytes(SALT_BYTES)
        name = commitment(salt, details)
        durable.make_folder(self._folder)
        durable.create(self._file(name), canonical_json({"details": dict(details), "salt": salt.hex()}) + b"\n")
        return name

    def get(self, name: str) -> dict[str, Json] | None:
        """The details of a commitment, or None where there are none (any more).

        Raises:
            CorruptState: the file is not what the commitment stands for.
            StorageError: it cannot be read.
        """
        try:
            data = regular.read(self._file(name))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(self._shown(name), error) from error
        try:
            match json.loads(data.decode("utf-8")):
                case {"details": dict(details), "salt": str(salt), **rest} if not rest:
                    whole = canonical_json({"details": details, "salt": salt}) + b"\n" == data
                    if whole and hmac.compare_digest(commitment(unhex(salt, SALT_BYTES), details), name):
                        return details
        except (ValueError, RecursionError) as error:
            raise self._altered(name) from error
        raise self._altered(name)

    def erase(self, name: str) -> None:
        """Remove details and salt for good; none there is fine.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            self._file(name).unlink(missing_ok=True)
            if self._folder.exists():
                durable.sync_folder(self._folder)
        except OSError as error:
            raise durable.storage_error(error) from error

    def names(self) -> frozenset[str]:
        """Commitments of all details that are there.

        Raises:
            StorageError: the folder cannot be read.
        """
        try:
            found = [entry.name for entry in self._folder.iterdir()] if self._folder.exists() else []
        except OSError as error:
            raise unreadable(FOLDER, error) from error
        return frozenset(name.removesuffix(".json") for name in found if _FILE.fullmatch(name))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _shown(self, name: str) -> str:
        return f"{FOLDER}/{name[:12]}….json"

    def _altered(self, name: str) -> CorruptState:
        return CorruptState(f"{self._shown(name)} is not what its entry stands for", code="ledger.details")
