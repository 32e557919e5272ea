"""Who cosigns: the statement by which a party's identity key vouches for its ML-DSA-44 key.

The roster pins one key of each party, so whoever has the roster can trust the other with this. The bytes that are
signed are those of `privacy.channel.envelope`, kind `cosigner-key`, over canonical JSON; they are made and read here
because reports are verified where nothing of the network is. A statement holds for good: one that was made anew,
after a key was lost, stands beside the older one. Secret keys are kept by `privacy.channel.cosigning_key`.
"""

import json
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.digest import canonical_json
from privacy.errors import CorruptState
from privacy.ledger.heads.cosignature import Cosigner, CosigningKeys

CONTEXT: Final = b"collegium/v1/cosigner-key\x00"
MAX_BYTES: Final = 4096
"""A statement is no longer."""
_FORMAT: Final = "collegium-cosigner/1"
_ML_DSA_BYTES: Final = 1312


def state(keys: CosigningKeys) -> bytes:
    """The statement of a party about its own key, in canonical JSON; public."""
    body = _body(keys.name, keys.public().ml_dsa)
    return canonical_json({**body, "signature": keys.ed25519.sign(CONTEXT + canonical_json(body)).hex()})


@lru_cache(maxsize=128)  # the same statement comes with every cosignature of its party
def stated(data: bytes, name: str, identity: bytes) -> Cosigner:
    """The keys of the party `name`, as its statement says.

    Args:
        data: the statement.
        name: SPIFFE ID of the party that must have made it.
        identity: its Ed25519 public key, as the roster pins it, 32 bytes.

    Raises:
        CorruptState: `ledger.cosigner`: not a statement, or not one of this party.
    """
    try:
        said = json.loads(data) if len(data) <= MAX_BYTES else None
        if not isinstance(said, dict) or canonical_json(said) != data:
            raise ValueError("not canonical")
        ml_dsa, signature = bytes.fromhex(str(said["ml_dsa_44"])), bytes.fromhex(str(said["signature"]))
        body = _body(name, ml_dsa)
        if said != {**body, "signature": signature.hex()} or len(ml_dsa) != _ML_DSA_BYTES:
            raise ValueError("another party or form")
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, CONTEXT + canonical_json(body))
    except (ValueError, KeyError, RecursionError, InvalidSignature) as error:
        raise CorruptState(
            "the statement about a cosigning key was not made by the party that it is said to be of",
            code="ledger.cosigner",
        ) from error
    return Cosigner(name, identity, ml_dsa)


def _body(name: str, ml_dsa: bytes) -> dict[str, str]:
    return {"format": _FORMAT, "party": name, "ml_dsa_44": ml_dsa.hex()}
