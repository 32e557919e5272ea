from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from privacy.channel.envelope import context, sign, verify
from privacy.errors import IdentityError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()


@given(body=st.binary(max_size=200))
def test_what_was_signed_is_what_is_returned(body: bytes) -> None:
    assert verify(sign("upload", body, "st-marys", KEY), PUBLIC, "upload") == body


def test_the_signed_bytes_are_those_of_the_protocol() -> None:
    signed = sign("key-grant", b"body", "st-marys", KEY)
    KEY.public_key().verify(signed.signature, b"collegium/v1/key-grant\x00body")


@given(body=st.binary(min_size=1, max_size=50), where=st.integers(0), bit=st.integers(0, 7), part=st.booleans())
def test_one_altered_bit_is_refused(body: bytes, where: int, bit: int, part: bool) -> None:
    signed = sign("upload", body, "st-marys", KEY)
    field = "body" if part else "signature"
    value = bytearray(getattr(signed, field))
    value[where % len(value)] ^= 1 << bit
    with pytest.raises(IdentityError, match="not that of the member"):
        verify(replace(signed, **{field: bytes(value)}), PUBLIC, "upload")


def test_another_key_is_refused() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(IdentityError) as caught:
        verify(sign("upload", b"body", "st-marys", KEY), other, "upload")
    assert caught.value.code == "identity.bad_signature"


@pytest.mark.parametrize("public_key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(public_key: bytes) -> None:
    with pytest.raises(IdentityError):
        verify(sign("upload", b"body", "st-marys", KEY), public_key, "upload")


def test_a_message_cannot_pass_as_another_kind() -> None:
    signed = sign("upload", b"body", "st-marys", KEY)
    with pytest.raises(IdentityError) as caught:
        verify(signed, PUBLIC, "close")
    assert caught.value.code == "identity.wrong_kind"
    with pytest.raises(IdentityError):
        verify(replace(signed, kind="close"), PUBLIC, "close")


@pytest.mark.parametrize("kind", ["", "Upload", "up load", "a\x00b", "a/b", "a" * 41])
def test_a_kind_is_a_word(kind: str) -> None:
    with pytest.raises(ValueError, match="lower-case word"):
        context(kind)
