import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from compliance.canonical import canonical
from compliance.signing import Meaning, Signer, verify
from privacy.errors import ConfigError, CorruptState, IdentityError

RECORD = b'{"format":"collegium-report/1"}'
AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate(), "Dr. Ada Roe", Meaning.REVIEWED)


def test_name_time_and_meaning_are_bound_to_the_record(signer: Signer) -> None:
    signature = verify(signer.sign(RECORD, AT), RECORD)
    assert (signature.name, signature.meaning, signature.time) == ("Dr. Ada Roe", "reviewed", "2026-04-01T09:30:00Z")
    assert signature.fingerprint == signer.fingerprint
    with pytest.raises(CorruptState, match="another report"):
        verify(signer.sign(RECORD, AT), RECORD + b" ")


@pytest.mark.parametrize("field", ["name", "meaning", "time", "key", "record_sha256", "format", "more"])
def test_nothing_of_a_signature_can_be_changed(signer: Signer, field: str) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    changes = {"name": "B. Poe", "meaning": "approved", "time": "2026-04-01T09:30:01Z", "key": other}

    def change(outer: Any) -> None:
        payload = json.loads(base64.b64decode(outer["payload"]))
        payload[field] = changes.get(field, "0" * 64)
        outer["payload"] = base64.b64encode(canonical(payload)).decode()

    with pytest.raises(CorruptState):
        verify(altered(signer, change), RECORD)


def altered(signer: Signer, change: Callable[[Any], None]) -> bytes:
    outer = json.loads(signer.sign(RECORD, AT))
    change(outer)
    return canonical(outer)


@pytest.mark.parametrize(
    "change",
    [
        lambda outer: outer.update(payloadType="text/plain"),
        lambda outer: outer["signatures"].append(outer["signatures"][0]),
        lambda outer: outer["signatures"][0].update(keyid="0000"),
        lambda outer: outer["signatures"][0].update(sig="AAAA"),
        lambda outer: outer["signatures"][0].update(sig="not base64!"),
        lambda outer: outer.update(more=1),
        lambda outer: outer.update(payload="e30="),
    ],
)
def test_an_envelope_has_one_form(signer: Signer, change: Callable[[Any], None]) -> None:
    with pytest.raises(CorruptState):
        verify(altered(signer, change), RECORD)


@pytest.mark.parametrize("data", [b"", b"[]", b"{" * 10_000, b" " * 20_000, b"\xff", b'{"a":1}'])
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptState):
        verify(data, RECORD)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_name_is_printable(name: str) -> None:
    with pytest.raises(ConfigError):
        Signer(Ed25519PrivateKey.generate(), name, Meaning.APPROVED)


def write(path: Path, key: Any, protection: KeySerializationEncryption, mode: int = 0o600) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    path.chmod(mode)
    return path


def test_a_key_is_read_with_and_without_a_passphrase(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    words = tmp_path / "words"
    words.write_text("correct horse\n")
    words.chmod(0o600)
    bare = write(tmp_path / "bare", key, NoEncryption())
    closed = write(tmp_path / "closed", key, BestAvailableEncryption(b"correct horse"))
    loaded = [
        Signer.load(bare, None, "A", Meaning.APPROVED).fingerprint,
        Signer.load(closed, words, "A", Meaning.APPROVED).fingerprint,
    ]
    assert loaded[0] == loaded[1]
    with pytest.raises(IdentityError, match="passphrase"):
        Signer.load(closed, None, "A", Meaning.APPROVED)


def test_keys_that_are_not_ones_own_are_refused(tmp_path: Path) -> None:
    exposed = write(tmp_path / "exposed", Ed25519PrivateKey.generate(), NoEncryption(), 0o644)
    other = write(tmp_path / "other", generate_private_key(SECP256R1()), NoEncryption())
    link = tmp_path / "link"
    link.symlink_to(other)
    for path in (exposed, other, link, tmp_path / "missing", tmp_path):
        with pytest.raises(IdentityError):
            Signer.load(path, None, "A", Meaning.APPROVED)
