"""Signed notes in the C2SP form, and the checkpoint of a ledger as one: size and root that a stranger's tools can read.

A note is a text and signature lines `— NAME BASE64(key id || signature)`. Here with Ed25519 (type 0x01) only; whoever
adds cosignatures appends lines. A signature line of an unknown key is passed over, one of a known key must hold.
Source: c2sp.org/signed-note, c2sp.org/tlog-checkpoint.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import CorruptState
from privacy.signer import Signer

_ED25519 = b"\x01"
_MARK = "\u2014 "
MAX_NOTE = 1024
"""A checkpoint with its own signature alone has at most so many bytes."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says: of which log, how many entries, and the Merkle root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes


def key_id(name: str, key: bytes) -> bytes:
    """The 4 bytes that tell which key signed: of SHA-256(name || 0x0A || 0x01 || key)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key).digest()[:4]


def checkpoint(origin: str, size: int, root: bytes, key: Signer) -> str:
    """A checkpoint that the log itself signed; the key's name is the origin.

    Raises:
        ValueError: the origin is no name that a note can have.
    """
    if not origin or any(c.isspace() or not c.isprintable() or c == "+" for c in origin):
        raise ValueError("an origin is a name without spaces and plus signs")
    text = f"{origin}\n{size}\n{encode(root)}\n"
    signature = key_id(origin, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"{text}\n{_MARK}{origin} {encode(signature)}\n"


@lru_cache(maxsize=256)  # a watch reads the same few in every exchange of heads
def read_checkpoint(note: str, key: bytes) -> Checkpoint:
    """What a log's checkpoint says, once its own signature is verified.

    Args:
        note: text, blank line and signature lines; those of other keys are passed over.
        key: the log's Ed25519 public key, 32 bytes.

    Raises:
        CorruptState: not a checkpoint, or not signed by this key.
    """
    text, blank, lines = note.rpartition("\n\n")
    parts = text.split("\n")
    if not blank or len(parts) != 3 or not parts[1].isascii() or not parts[1].isdecimal():
        raise _broken("it does not have the form of a checkpoint")
    origin, size, root = parts[0], int(parts[1]), decode(parts[2])
    if str(size) != parts[1] or len(root) != 32:
        raise _broken("it does not have the form of a checkpoint")
    wanted = f"{_MARK}{origin} "
    held = False
    for line in lines.removesuffix("\n").split("\n"):
        sealed = decode(line.removeprefix(wanted)) if line.startswith(wanted) else b""
        if sealed[:4] != key_id(origin, key):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(sealed[4:], f"{text}\n".encode())
        except InvalidSignature as error:
            raise _broken("its signature is wrong") from error
        held = True
    if not held:
        raise _broken("the log whose key you named did not sign it")
    return Checkpoint(origin, size, root)


def encode(data: bytes) -> str:
    """Standard base64 (RFC 4648 section 4)."""
    return base64.b64encode(data).decode()


def decode(text: str) -> bytes:
    """The bytes of standard base64 in its one form.

    Raises:
        CorruptState: anything else.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _broken("it is not in base64") from error
    if encode(data) != text:
        raise _broken("it is not in base64")
    return data


def _broken(why: str) -> CorruptState:
    return CorruptState(f"this checkpoint or proof cannot be trusted: {why}", code="ledger.proof")
