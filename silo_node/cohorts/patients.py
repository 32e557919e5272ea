"""The pseudonyms of every cohort that was ever ingested here, kept when the cohort itself is gone.

By them a later cohort is recognised that holds the same patients. A set is a file of its own; the ledger's `cohort`
entry has a commitment to it under a salt that lies with the set, and so tells nothing once the set is erased. What
cannot be compared counts as overlapping: a set that is missing, is not what its entry stands for, or was made with
another pseudonym key. A PatientID that was written in two ways is two patients here as everywhere else.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from privacy import durable
from privacy.ledger.entry import Entry

MAGIC = b"collegium-patients/1\n"
CONTEXT = b"collegium/v1/patients\x00"
KEY_CONTEXT = b"collegium/v1/pseudonym-key\x00"
PSEUDONYM_BYTES = 32
"""A patient's pseudonym in ASCII, as `imaging.deidentification.Pseudonyms` makes it."""
_HASH = 32


class PatientSets:
    """The sets of one silo: a salt, which key made them, and the pseudonyms in order.

    Args:
        folder: where they lie; made at the first use.
        key: the site's pseudonym key.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key_id = hmac.digest(key, KEY_CONTEXT, "sha256")

    def keep(self, cohort: str, digest: str, pseudonyms: Iterable[str]) -> str:
        """Keep a cohort's set durably; gives the commitment (hex) for its ledger entry.

        Args:
            cohort: name of the cohort.
            digest: of the cohort, hex.
            pseudonyms: of all its patients, each of `PSEUDONYM_BYTES`.

        Raises:
            StorageError: the disk refused.
        """
        members = _packed(pseudonyms)
        salt = secrets.token_bytes(_HASH)
        durable.make_folder(self._folder)
        durable.write(self._file(cohort, digest), MAGIC + salt + self._key_id + members)
        return _commitment(salt, cohort, digest, self._key_id + members)

    def overlapping(self, pseudonyms: Iterable[str], entries: Iterable[Entry]) -> tuple[str, ...]:
        """Names of the cohorts in a ledger that have one of these patients, or that cannot be compared; in order."""
        wanted = set(_split(_packed(pseudonyms)))
        found = dict.fromkeys(
            str(entry.body["cohort"])
            for entry in entries
            if entry.kind == "cohort" and not wanted.isdisjoint(self._members(entry, wanted))
        )
        return tuple(found)

    def forget_unrecorded(self, cohort: str) -> None:
        """Remove what an interrupted ingest left of a cohort that the ledger does not know.

        Raises:
            StorageError: the disk refused.
        """
        name = re.compile(re.escape(cohort) + r"-[0-9a-f]{64}\.bin")
        try:
            for path in self._folder.iterdir() if self._folder.exists() else ():
                if name.fullmatch(path.name):
                    path.unlink()
        except OSError as error:
            raise durable.storage_error(error) from error

    def _members(self, entry: Entry, unknown: set[bytes]) -> set[bytes]:
        """The set that an entry stands for, or `unknown` where it cannot be known."""
        cohort, digest = str(entry.body["cohort"]), str(entry.body["digest"])
        try:
            data = self._file(cohort, digest).read_bytes()
        except OSError:
            return unknown
        salt, rest = data[len(MAGIC) : len(MAGIC) + _HASH], data[len(MAGIC) + _HASH :]
        stands_for = _commitment(salt, cohort, digest, rest)
        if not hmac.compare_digest(stands_for, str(entry.body.get("patients_commitment", ""))):
            return unknown
        if not data.startswith(MAGIC) or not hmac.compare_digest(rest[:_HASH], self._key_id):
            return unknown
        return set(_split(rest[_HASH:]))

    def _file(self, cohort: str, digest: str) -> Path:
        return self._folder / f"{cohort}-{digest}.bin"


def _packed(pseudonyms: Iterable[str]) -> bytes:
    members = sorted({pseudonym.encode("ascii") for pseudonym in pseudonyms})
    if any(len(member) != PSEUDONYM_BYTES for member in members):
        raise RuntimeError(f"a pseudonym has {PSEUDONYM_BYTES} characters")
    return b"".join(members)


def _split(members: bytes) -> Iterable[bytes]:
    return (members[at : at + PSEUDONYM_BYTES] for at in range(0, len(members), PSEUDONYM_BYTES))


def _commitment(salt: bytes, cohort: str, digest: str, rest: bytes) -> str:
    about = f"{cohort}\0{digest}\0".encode()
    return hmac.new(salt, CONTEXT + about + rest, hashlib.sha256).hexdigest()
