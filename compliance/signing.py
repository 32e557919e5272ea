"""Signatures of people under a report: printed name, time and meaning, bound to the record (21 CFR 11.50, 11.70).

A signature is a DSSE envelope whose payload states what was signed, by whom, when and as what, so that none of it can
be moved to another report or person. It does not know whether a key is that person's: compare fingerprints.
Source: DSSE 1.0.2 (github.com/secure-systems-lab/dsse), Ed25519.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from compliance.canonical import canonical
from privacy.digest import Json
from privacy.errors import ConfigError, CorruptState, IdentityError
from privacy.roster import fingerprint

PAYLOAD_TYPE: Final = "application/vnd.collegium.report-signature+json"
FORMAT: Final = "collegium-report-signature/1"
MAX_BYTES: Final = 16 * 1024
_LONGEST_NAME: Final = 200
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Meaning(StrEnum):
    """What a person takes upon themselves by signing (21 CFR 11.50(a)(3))."""

    AUTHORED = "authored"
    REVIEWED = "reviewed"
    APPROVED = "approved"


@dataclass(frozen=True)
class Signature:
    """A verified signature; `time` is by the signer's clock, `key` the Ed25519 public key in hex."""

    name: str
    meaning: Meaning
    time: str
    key: str

    @property
    def fingerprint(self) -> str:
        """Of the key, for reading over the phone."""
        return fingerprint(bytes.fromhex(self.key))


@dataclass(frozen=True)
class Signer:
    """A person with a key of their own, and what they sign as.

    Raises:
        ConfigError: the name is empty, too long or not printable.
    """

    key: Ed25519PrivateKey = field(repr=False)
    name: str
    meaning: Meaning

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            raise ConfigError(f"a printed name has 1 to {_LONGEST_NAME} printable characters")

    @classmethod
    def load(cls, path: Path, passphrase: Path | None, name: str, meaning: Meaning) -> "Signer":
        """With the key in a file: PKCS8 in PEM, encrypted if a file with its passphrase is named.

        Raises:
            ConfigError: as for the class.
            IdentityError: a file is missing or readable by others, it is no Ed25519 key, or not its passphrase.
        """
        words = _secret(passphrase).rstrip(b"\r\n") if passphrase else None
        try:
            key = load_pem_private_key(_secret(path), words)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise IdentityError(
                f"{path.name} is no key in PEM, or this is not its passphrase (--passphrase-file)", code="report.key"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise IdentityError(f"{path.name} is not an Ed25519 key", code="report.key")
        return cls(key, name, meaning)

    @property
    def fingerprint(self) -> str:
        """Of the key, for reading over the phone."""
        return fingerprint(self.key.public_key().public_bytes_raw())

    def sign(self, record: bytes, at: datetime) -> bytes:
        """The envelope under the bytes of a record; `at` is an aware time."""
        public = self.key.public_key().public_bytes_raw()
        payload = canonical(
            {
                "format": FORMAT,
                "record_sha256": hashlib.sha256(record).hexdigest(),
                "name": self.name,
                "meaning": self.meaning.value,
                "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "key": public.hex(),
            }
        )
        sealed: dict[str, Json] = {"keyid": fingerprint(public), "sig": _encode(self.key.sign(_encoding(payload)))}
        return canonical({"payload": _encode(payload), "payloadType": PAYLOAD_TYPE, "signatures": [sealed]})


def verify(envelope: bytes, record: bytes) -> Signature:
    """What a person signed, once it is shown to be under this record.

    Args:
        envelope: the file's bytes.
        record: the bytes of the record's file.

    Raises:
        CorruptState: not such an envelope, altered, or a signature under another record.
    """
    payload, keyid, sealed = _open(envelope)
    match json.loads(payload):
        case {
            "format": "collegium-report-signature/1",
            "record_sha256": str(signed),
            "name": str(name),
            "meaning": str(meaning),
            "time": str(time),
            "key": str(key),
            **rest,
        } if not rest and _TIME.fullmatch(time) and re.fullmatch("[0-9a-f]{64}", key) and meaning in list(Meaning):
            public = bytes.fromhex(key)
        case _:
            raise _broken("it has another form")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(sealed, _encoding(payload))
    except (InvalidSignature, ValueError) as error:
        raise _broken("it was altered") from error
    if keyid != fingerprint(public):
        raise _broken("it names another key")
    if signed != hashlib.sha256(record).hexdigest():
        raise _broken("it is under another report")
    return Signature(name, Meaning(meaning), time, key)


def _secret(path: Path) -> bytes:
    """The bytes of a file that only its owner may read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise IdentityError(
            f"cannot read {path.name} ({error.strerror}); correct its path", code="report.key"
        ) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise IdentityError(f"other users may read {path.name}; run 'chmod 600' on it", code="report.key")
        return os.read(descriptor, MAX_BYTES)
    finally:
        os.close(descriptor)


def _open(envelope: bytes) -> tuple[bytes, str, bytes]:
    """Payload, key id and signature of an envelope in its one form."""
    try:
        outer = json.loads(envelope) if len(envelope) <= MAX_BYTES else None
        match outer:
            case {"payload": str(payload), "payloadType": kind, "signatures": [{"keyid": str(keyid), "sig": str(sig)}]}:
                # Rebuilt, so that nothing may stand beside what is named here.
                only = {"payload": payload, "payloadType": kind, "signatures": [{"keyid": keyid, "sig": sig}]}
                data = _decode(payload)
                if kind == PAYLOAD_TYPE and canonical(only) == envelope and canonical(json.loads(data)) == data:
                    return data, keyid, _decode(sig)
    except (ValueError, TypeError, RecursionError) as error:
        raise _broken("it has another form") from error
    raise _broken("it has another form")


def _encoding(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _broken(why: str) -> CorruptState:
    return CorruptState(f"a signature of this report cannot be trusted: {why}", code="report.signature")
