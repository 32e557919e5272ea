"""Keys derive from secrets as HKDF says, and no two uses share one."""

import hashlib
import hmac

import pytest

from privacy.secagg.derive import derive, group_key

SECRET, SALT = b"s" * 32, b"c" * 32


def test_is_hkdf_of_rfc_5869() -> None:
    extracted = hmac.digest(SALT, SECRET, hashlib.sha256)
    info = b"mask" + (1).to_bytes(8, "big") + (2).to_bytes(8, "big")
    assert derive(SECRET, SALT, "mask", 1, 2) == hmac.digest(extracted, info + b"\1", hashlib.sha256)


def test_every_use_has_its_own_key() -> None:
    keys = [derive(SECRET, SALT, label, *numbers) for label in ("r", "self") for numbers in ((), (1,), (2,), (1, 2))]
    keys += [derive(b"t" * 32, SALT, "r"), derive(SECRET, b"d" * 32, "r"), group_key(SECRET, SALT, "mac")]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 for key in keys)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        derive(b"s" * 31, SALT, "r")
