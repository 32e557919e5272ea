"""Cosignatures of a checkpoint in the C2SP form: a witness says that what it saw of a log before is a part of this.

Each is a line of the note, once with Ed25519 (type 0x04) and once with ML-DSA-44 (type 0x06), which signs the
witness's name too and holds against a quantum computer. Whether the tree is consistent with the one that was cosigned
before is for the caller, with `tree.verify_consistency`, before `cosign`. Source: c2sp.org/tlog-cosignature.
"""

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from privacy.errors import CorruptState
from privacy.ledger.heads.note import Checkpoint, decode, encode
from privacy.signer import Signer

_ED25519, _ML_DSA_44 = b"\x04", b"\x06"
_MARK = "\u2014 "
_TIME_BYTES = 8


@dataclass(frozen=True)
class CosigningKeys:
    """The secret keys of a witness."""

    name: str
    ed25519: Signer = field(repr=False)
    ml_dsa: MLDSA44PrivateKey = field(repr=False)

    def public(self) -> "Cosigner":
        """What others know of it."""
        return Cosigner(
            self.name, self.ed25519.public_key().public_bytes_raw(), self.ml_dsa.public_key().public_bytes_raw()
        )


@dataclass(frozen=True)
class Cosigner:
    """A witness by name, Ed25519 key (32 bytes) and ML-DSA-44 key (1312 bytes)."""

    name: str
    ed25519: bytes
    ml_dsa: bytes


def cosign(checkpoint: Checkpoint, keys: CosigningKeys, at: int) -> str:
    """Two signature lines to append to the checkpoint's note.

    Args:
        checkpoint: as `note.read_checkpoint` verified it.
        keys: the witness's.
        at: now, in seconds since the epoch, above 0.

    Raises:
        ValueError: the time is none.
    """
    if not 0 < at < 2**63:
        raise ValueError("a cosignature has a time after the epoch")
    public, time = keys.public(), at.to_bytes(_TIME_BYTES, "big")
    classical = keys.ed25519.sign(_ed25519_message(checkpoint, at))
    quantum = keys.ml_dsa.sign(_ml_dsa_message(checkpoint, keys.name, at))
    return "".join(
        f"{_MARK}{keys.name} {encode(key_id + time + signature)}\n"
        for key_id, signature in zip(_key_ids(public), (classical, quantum), strict=True)
    )


def cosigned_at(note: str, checkpoint: Checkpoint, cosigner: Cosigner) -> int:
    """When a witness cosigned a checkpoint, with both of its keys, in seconds since the epoch.

    Args:
        note: text, blank line and signature lines; those of other keys are passed over.
        checkpoint: what the note's text says, verified.
        cosigner: the witness.

    Raises:
        CorruptState: a signature of one of its keys is missing, is there twice or does not hold, or their times differ.
    """
    times = {
        _verified(note, checkpoint, cosigner, key_id, kind)
        for key_id, kind in zip(_key_ids(cosigner), (_ED25519, _ML_DSA_44), strict=True)
    }
    if len(times) != 1:
        raise _broken("its two cosignatures are of different times")
    return times.pop()


def _verified(note: str, checkpoint: Checkpoint, cosigner: Cosigner, key_id: bytes, kind: bytes) -> int:
    start = f"{_MARK}{cosigner.name} "
    lines = note.rpartition("\n\n")[2].split("\n")
    sealed = [decode(line.removeprefix(start)) for line in lines if line.startswith(start)]
    found = [data[len(key_id) :] for data in sealed if data.startswith(key_id)]
    if len(found) != 1:
        raise _broken("a cosignature is missing, or there twice")
    at, signature = int.from_bytes(found[0][:_TIME_BYTES], "big"), found[0][_TIME_BYTES:]
    if not 0 < at < 2**63:
        raise _broken("a cosignature has no time")
    try:
        if kind == _ED25519:
            Ed25519PublicKey.from_public_bytes(cosigner.ed25519).verify(signature, _ed25519_message(checkpoint, at))
        else:
            message = _ml_dsa_message(checkpoint, cosigner.name, at)
            MLDSA44PublicKey.from_public_bytes(cosigner.ml_dsa).verify(signature, message)
    except InvalidSignature as error:
        raise _broken("a cosignature is wrong") from error
    return at


def _key_ids(cosigner: Cosigner) -> tuple[bytes, bytes]:
    start = cosigner.name.encode() + b"\n"
    classical, quantum = (
        hashlib.sha256(start + kind + key).digest()[:4]
        for kind, key in ((_ED25519, cosigner.ed25519), (_ML_DSA_44, cosigner.ml_dsa))
    )
    return classical, quantum


def _ed25519_message(checkpoint: Checkpoint, at: int) -> bytes:
    body = f"{checkpoint.origin}\n{checkpoint.size}\n{encode(checkpoint.root)}\n"
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def _ml_dsa_message(checkpoint: Checkpoint, name: str, at: int) -> bytes:
    return b"".join(
        (
            b"subtree/v1\n\x00",
            _short(name),
            at.to_bytes(8, "big"),
            _short(checkpoint.origin),
            bytes(8),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _short(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise _broken("a name in it is empty or too long")
    return bytes([len(data)]) + data


def _broken(why: str) -> CorruptState:
    return CorruptState(f"this checkpoint is not cosigned: {why}", code="ledger.cosignature")
