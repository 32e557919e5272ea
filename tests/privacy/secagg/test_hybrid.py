"""Only the receiver opens what was sealed, only under the same info, and both halves of the key are needed."""

import pickle

import pytest

from privacy.errors import ProtocolError
from privacy.secagg.hybrid import PUBLIC_BYTES, HybridKey, seal


def test_a_sealed_message_comes_back() -> None:
    key = HybridKey.generate()
    assert len(key.public_key) == PUBLIC_BYTES == 1216
    assert key.open(seal(b"secret", key.public_key, b"info"), b"info") == b"secret"
    assert seal(b"secret", key.public_key, b"info") != seal(b"secret", key.public_key, b"info")


def test_a_seed_gives_one_key() -> None:
    one, two = HybridKey(b"\x07" * 32), HybridKey(b"\x07" * 32)
    assert one.public_key == two.public_key
    assert two.open(seal(b"x", one.public_key, b""), b"") == b"x"
    assert HybridKey.generate().public_key != HybridKey.generate().public_key


def test_both_halves_of_the_public_key_matter() -> None:
    key, other = HybridKey.generate(), HybridKey.generate()
    for mixed in (key.public_key[:1184] + other.public_key[1184:], other.public_key[:1184] + key.public_key[1184:]):
        enc = seal(b"secret", mixed, b"info")
        for receiver in (key, other):
            with pytest.raises(ProtocolError):
                receiver.open(enc, b"info")


def test_anything_altered_is_refused() -> None:
    key = HybridKey.generate()
    enc = seal(b"secret", key.public_key, b"info")
    altered = [enc[:-1], enc + b"\0", b"", enc[:100]]
    for position in (0, 1087, 1088, 1119, 1120, len(enc) - 1):
        damaged = bytearray(enc)
        damaged[position] ^= 1
        altered.append(bytes(damaged))
    for wrong in altered:
        with pytest.raises(ProtocolError) as caught:
            key.open(wrong, b"info")
        assert caught.value.code == "protocol.unsealable"
    with pytest.raises(ProtocolError):
        key.open(enc, b"other")
    with pytest.raises(ProtocolError):
        HybridKey.generate().open(enc, b"info")


def test_unusable_public_keys_are_refused() -> None:
    good = HybridKey.generate().public_key
    for wrong in (b"", good[:-1], good + b"\0", b"\xff" * 1184 + good[1184:], good[:1184] + bytes(32)):
        with pytest.raises(ProtocolError) as caught:
            seal(b"secret", wrong, b"")
        assert caught.value.code == "protocol.public_key"


def test_a_private_key_does_not_get_out() -> None:
    key = HybridKey(b"\x07" * 32)
    assert "07" * 8 not in repr(key)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)
    with pytest.raises(ValueError, match="32 bytes"):
        HybridKey(b"short")
