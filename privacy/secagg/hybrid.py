"""Sealing a secret to one receiver: HPKE (RFC 9180) with ML-KEM-768 + X25519, HKDF-SHA256, AES-256-GCM.

The key encapsulation is `cryptography`'s hybrid of FIPS 203 and RFC 7748; who recorded a grant must break
both. Keys are made from 32 random bytes, `kp` of the protocol. `info` binds what is sealed to its place. Says
nothing about who sealed: every message around it is signed.
"""

import secrets
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from privacy.errors import ProtocolError

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
SEED_BYTES = 32
MLKEM_SEED_BYTES, X25519_BYTES = 64, 32
MLKEM_PUBLIC_BYTES = 1184
PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + X25519_BYTES


class HybridKey:
    """A private key, from a secret 32-byte seed. Its `repr` shows nothing and it cannot be pickled."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError("a hybrid key is made from 32 bytes")
        derived = HKDFExpand(hashes.SHA256(), MLKEM_SEED_BYTES + X25519_BYTES, b"collegium/v1/kem").derive(seed)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(derived[:MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(derived[MLKEM_SEED_BYTES:])
        self._private = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public_key = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        """ML-KEM-768 (1184 bytes) then X25519 (32 bytes), raw."""

    @classmethod
    def generate(cls) -> "HybridKey":
        """A fresh key from the operating system's randomness."""
        return cls(secrets.token_bytes(SEED_BYTES))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is never pickled")

    def open(self, enc: bytes, info: bytes) -> bytes:
        """What was sealed to this key under `info`.

        Raises:
            ProtocolError: `protocol.unsealable`: for another key, another `info`, or altered.
        """
        try:
            return SUITE.decrypt(enc, self._private, info)
        except (InvalidTag, ValueError) as error:
            raise ProtocolError(
                "a sealed message cannot be opened: it was altered or sealed for another receiver or purpose",
                code="protocol.unsealable",
            ) from error


def seal(plaintext: bytes, public_key: bytes, info: bytes) -> bytes:
    """Seal `plaintext` to a raw public key of 1184 + 32 bytes, under `info`.

    Raises:
        ProtocolError: `protocol.public_key`: not a usable public key.
    """
    try:
        if len(public_key) != PUBLIC_BYTES:
            raise ValueError("wrong length")
        mlkem = MLKEM768PublicKey.from_public_bytes(public_key[:MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(public_key[MLKEM_PUBLIC_BYTES:])
        return SUITE.encrypt(plaintext, hpke.MLKEM768X25519PublicKey(mlkem, x25519), info)
    except ValueError as error:
        raise ProtocolError(
            "a peer sent a public key that nothing can be sealed to; it must make a new one", code="protocol.public_key"
        ) from error
