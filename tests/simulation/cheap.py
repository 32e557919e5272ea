"""Stand-ins for what costs much and is not tested here, each behind the interface of the real one.

- CKKS: a small ring without encryption. Words are the packed values themselves; masks, MAC, frames, folding and all
  checks of the opened sum are real. Its own tests are in tests/privacy/he.
- Signatures are real; one that was verified once is not verified a second time over the same bytes.
- Shamir's interpolation is real; the same shares are interpolated once.
- The digest of the installed code, which is not computed at each start of an aggregator.
"""

import secrets
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privacy.channel import envelope
from privacy.he import keyholder
from privacy.he.keyholder import KeyHolder
from privacy.he.params import PRIMES, SEED_BYTES, CiphertextParams
from privacy.ledger.heads import cosignature, note
from privacy.secagg import shares
from privacy.study import Encryption

DEGREE = 64
SIGNATURES = (
    (envelope, "Ed25519PublicKey"),
    (note, "Ed25519PublicKey"),
    (cosignature, "Ed25519PublicKey"),
    (cosignature, "MLDSA44PublicKey"),
)
"""Where signatures are verified that several parties see."""


class PlainRing:
    """What `privacy.he.ring.Ring` gives a keyholder, without SEAL: the transforms are the identity."""

    context: Any = None

    def __init__(self, params: CiphertextParams) -> None:
        self.params = params

    def to_ntt(self, polynomials: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return polynomials.copy()

    def from_ntt(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return words

    def generate_secret(self) -> NDArray[np.int8]:
        return np.array([1, -1] * (self.params.degree // 2), np.int8)

    def secret_key(self, coefficients: NDArray[np.int8]) -> None:
        return None


def remembering(kind: Any) -> Any:
    """A class of public keys that verifies each signature once."""
    verified: set[tuple[bytes, bytes, bytes]] = set()

    class Remembering:
        def __init__(self, key: bytes) -> None:
            self._raw, self._key = key, kind.from_public_bytes(key)

        @classmethod
        def from_public_bytes(cls, key: bytes) -> "Remembering":
            return cls(key)

        def verify(self, signature: bytes, message: bytes) -> None:
            if (self._raw, signature, message) not in verified:
                self._key.verify(signature, message)
                verified.add((self._raw, signature, message))

    return Remembering


def apply(patch: pytest.MonkeyPatch) -> None:
    """Put all of them in place."""

    def for_study(encryption: Encryption, silos: int) -> CiphertextParams:
        return CiphertextParams(DEGREE, PRIMES[(4096, 48)], encryption.bits, silos)

    def zero(holder: KeyHolder) -> tuple[NDArray[np.uint64], bytes]:
        shape = (len(holder.params.primes), holder.params.degree)
        return np.zeros(shape, np.uint64), secrets.token_bytes(SEED_BYTES)

    patch.setattr(CiphertextParams, "for_study", staticmethod(for_study))
    patch.setattr(CiphertextParams, "check_length", lambda *_: None)
    patch.setattr(keyholder, "Ring", PlainRing)
    patch.setattr(keyholder, "sealapi", SimpleNamespace(Encryptor=lambda *_: None, Decryptor=lambda *_: None))
    patch.setattr(KeyHolder, "zero", zero)
    patch.setattr(KeyHolder, "_phase", lambda _, word, __: word)
    combine, secrets_of = shares.combine, dict[tuple[object, int], bytes]()

    def combined(held: Mapping[int, bytes], threshold: int) -> bytes:
        key = (tuple(sorted(held.items())), threshold)
        if key not in secrets_of:
            secrets_of[key] = combine(held, threshold)
        return secrets_of[key]

    patch.setattr(shares, "combine", combined)
    for module, name in SIGNATURES:
        patch.setattr(module, name, remembering(getattr(module, name)))
