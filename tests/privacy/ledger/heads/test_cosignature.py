"""Cosignatures have the bytes of c2sp.org/tlog-cosignature, and every altered one is refused."""

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from privacy.errors import CorruptState
from privacy.ledger.heads import note
from privacy.ledger.heads.cosignature import Cosigner, CosigningKeys, cosign, cosigned_at

ORIGIN, NAME, AT = "spiffe://net/silo/north", "spiffe://net/silo/south", 1679315147
LOG = Ed25519PrivateKey.from_private_bytes(b"l" * 32)
KEYS = CosigningKeys(NAME, Ed25519PrivateKey.from_private_bytes(b"w" * 32), MLDSA44PrivateKey.generate())
ROOT = bytes(range(32))
TEXT = note.checkpoint(ORIGIN, 20852163, ROOT, LOG)
CHECKPOINT = note.read_checkpoint(TEXT, LOG.public_key().public_bytes_raw())
LINES = cosign(CHECKPOINT, KEYS, AT)
PUBLIC = KEYS.public()


def parts(line: str) -> tuple[bytes, int, bytes]:
    data = base64.b64decode(line.removeprefix(f"\u2014 {NAME} "), validate=True)
    return data[:4], int.from_bytes(data[4:12], "big"), data[12:]


def test_the_bytes_are_those_of_the_specification() -> None:
    first, second = LINES.splitlines()
    key_id, at, signature = parts(first)
    assert key_id == hashlib.sha256(NAME.encode() + b"\n\x04" + PUBLIC.ed25519).digest()[:4]
    assert (at, len(signature)) == (AT, 64)
    body = TEXT.partition("\n\n")[0] + "\n"
    KEYS.ed25519.public_key().verify(signature, b"cosignature/v1\ntime 1679315147\n" + body.encode())
    key_id, at, signature = parts(second)
    assert key_id == hashlib.sha256(NAME.encode() + b"\n\x06" + PUBLIC.ml_dsa).digest()[:4]
    assert (at, len(signature), len(PUBLIC.ml_dsa)) == (AT, 2420, 1312)
    message = b"subtree/v1\n\x00" + b"\x17" + NAME.encode() + AT.to_bytes(8, "big")
    message += b"\x17" + ORIGIN.encode() + bytes(8) + (20852163).to_bytes(8, "big") + ROOT
    KEYS.ml_dsa.public_key().verify(signature, message)


def test_a_cosigned_note_still_is_the_logs_checkpoint() -> None:
    assert note.read_checkpoint(TEXT + LINES, LOG.public_key().public_bytes_raw()) == CHECKPOINT
    assert cosigned_at(TEXT + LINES, CHECKPOINT, PUBLIC) == AT


FIRST, SECOND = LINES.splitlines(keepends=True)
LATER = cosign(CHECKPOINT, KEYS, AT + 1).splitlines(keepends=True)


def flipped(line: str, byte: int) -> str:
    start = f"\u2014 {NAME} "
    data = bytearray(base64.b64decode(line.removeprefix(start)))
    data[byte] ^= 1
    return f"{start}{base64.b64encode(data).decode()}\n"


@pytest.mark.parametrize(
    "lines",
    [
        "",
        FIRST,
        SECOND,
        FIRST + FIRST + SECOND,
        FIRST + LATER[1],
        *(flipped(FIRST, byte) + SECOND for byte in (0, 11, 12, -1)),
        *(FIRST + flipped(SECOND, byte) for byte in (0, 11, 12, -1)),
        FIRST.replace("=", "") + SECOND,
        FIRST.replace("south", "north") + SECOND,
    ],
)
def test_what_is_missing_repeated_or_altered_is_refused(lines: str) -> None:
    with pytest.raises(CorruptState):
        cosigned_at(TEXT + lines, CHECKPOINT, PUBLIC)


@pytest.mark.parametrize("changes", [{"size": 20852164}, {"root": b"r" * 32}, {"origin": "spiffe://net/silo/east"}])
def test_a_cosignature_is_of_one_checkpoint(changes: dict[str, object]) -> None:
    with pytest.raises(CorruptState):
        cosigned_at(TEXT + LINES, replace(CHECKPOINT, **changes), PUBLIC)  # type: ignore[arg-type]


def test_another_witness_did_not_cosign() -> None:
    other = replace(KEYS, ml_dsa=MLDSA44PrivateKey.generate()).public()
    for cosigner in (other, Cosigner("spiffe://net/silo/east", PUBLIC.ed25519, PUBLIC.ml_dsa)):
        with pytest.raises(CorruptState):
            cosigned_at(TEXT + LINES, CHECKPOINT, cosigner)


def test_a_cosignature_has_a_time() -> None:
    for at in (0, -1, 2**63):
        with pytest.raises(ValueError, match="after the epoch"):
            cosign(CHECKPOINT, KEYS, at)
