"""Names in place of names: by HMAC-SHA-256 under a key of the site, or drawn at random and kept in a table.

With the key the same patient and UID give the same pseudonym in every run and nothing need be stored; who
has the key and a list of patients can confirm one, and who has not cannot. The table is for those who hold
that a pseudonym must not be derived from what it replaces (HIPAA 164.514(c)): what it has not met is drawn
from the system's generator, so that losing the table loses the links for good. Neither leaves the site.
"""

import hmac
import os
import secrets
import sqlite3
from base64 import b32encode
from pathlib import Path
from typing import Protocol

from imaging.errors import ImagingError

KEY_BYTES = 32
_CONTEXT = b"collegium/v1/pseudonym/"


class Naming(Protocol):
    """What the walk asks for; the same question always has the same answer."""

    def patient(self, patient_id: str) -> str:
        """The pseudonym of a PatientID: 160 bits as 32 characters of base 32."""

    def uid(self, uid: str) -> str:
        """The UID in place of a UID: `2.25.` and 128 bits (PS3.5 B.2)."""

    def file(self, relative: str) -> str:
        """What a rejected file is called where its path must not appear: 80 bits as 16 characters."""

    def days(self, patient_id: str, at_most: int) -> int:
        """By how many days a patient's dates go back: 1 to `at_most`."""


class Pseudonyms:
    """By HMAC.

    Args:
        key: 32 secret bytes; another key gives unlinkable pseudonyms, losing it unlinks them all.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise RuntimeError(f"the pseudonym key must have {KEY_BYTES} bytes")
        self._key = key

    def for_project(self, project: str) -> "Pseudonyms":
        """Those of a project, which cannot be linked to those of another without the site's key."""
        return Pseudonyms(self._mac("project", project))

    def patient(self, patient_id: str) -> str:
        """See `Naming`."""
        return b32encode(self._mac("patient", patient_id)[:20]).decode()

    def uid(self, uid: str) -> str:
        """See `Naming`."""
        return f"2.25.{int.from_bytes(self._mac('uid', uid)[:16], 'big')}"

    def file(self, relative: str) -> str:
        """See `Naming`."""
        return b32encode(self._mac("file", relative)[:10]).decode()

    def days(self, patient_id: str, at_most: int) -> int:
        """See `Naming`."""
        return 1 + int.from_bytes(self._mac("days", patient_id), "big") % at_most

    def _mac(self, purpose: str, value: str) -> bytes:
        message = _CONTEXT + purpose.encode() + b"\0" + value.encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, message, "sha256")


class PseudonymTable:
    """By a table of random values, an SQLite file that only its owner may read.

    The table holds names in clear: it is the site's way back. What is drawn is durable after `keep`.

    Args:
        path: of the table; made when absent.

    Raises:
        ImagingError: `pseudonyms.table`: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        try:
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._database = sqlite3.connect(path)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS names "
                "(purpose TEXT, original TEXT, pseudonym TEXT NOT NULL, PRIMARY KEY (purpose, original)) WITHOUT ROWID"
            )
            self._database.commit()
        except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
            raise _unusable() from error

    def patient(self, patient_id: str) -> str:
        """See `Naming`."""
        return self._named("patient", patient_id, b32encode(secrets.token_bytes(20)).decode())

    def uid(self, uid: str) -> str:
        """See `Naming`."""
        return self._named("uid", uid, f"2.25.{secrets.randbits(128)}")

    def file(self, relative: str) -> str:
        """See `Naming`."""
        return self._named("file", relative, b32encode(secrets.token_bytes(10)).decode())

    def days(self, patient_id: str, at_most: int) -> int:
        """See `Naming`."""
        try:
            return int(self._named(f"days/{at_most}", patient_id, str(1 + secrets.randbelow(at_most))))
        except ValueError as error:
            raise _unusable() from error

    def keep(self) -> None:
        """Make what was drawn durable; to be called before what uses it is written."""
        try:
            self._database.commit()
        except sqlite3.Error as error:
            raise _unusable() from error

    def close(self) -> None:
        """Close the table; what was not kept is forgotten."""
        self._database.close()

    def _named(self, purpose: str, original: str, drawn: str) -> str:
        key = (purpose, original.encode("utf-8", "surrogateescape").decode("latin-1"))
        try:
            self._database.execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", (*key, drawn))
            found = self._database.execute(
                "SELECT pseudonym FROM names WHERE purpose = ? AND original = ?", key
            ).fetchone()
            return str(found[0])
        except (TypeError, UnicodeDecodeError, sqlite3.Error) as error:
            raise _unusable() from error


def _unusable() -> ImagingError:
    return ImagingError(
        "the table of pseudonyms cannot be read or written; check the silo's state directory", "pseudonyms.table"
    )
