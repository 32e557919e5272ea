"""The secret ML-DSA-44 key with which a party cosigns the heads of others' ledgers: one file, made at its first use.

It lies beside the identity's folder, not in it, so that members that joined before there was such a key get one too.
The Ed25519 half of a cosignature is made with the identity key. What each signs begins otherwise than anything else
that this key signs: `cosignature/v1` here, `collegium/v1/` in messages and ledgers, the SPIFFE ID in checkpoints.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from privacy.channel.files import Secret, read_secret, write_secret
from privacy.channel.identity import Identity
from privacy.errors import IdentityError
from privacy.ledger.heads.cosignature import CosigningKeys

FILE: Final = "cosigner.key"
SEED_BYTES: Final = 32


def cosigning_keys(state: Path, identity: Identity) -> CosigningKeys:
    """The cosigning keys of the member whose state directory this is; its lock is held, or it is new.

    Raises:
        IdentityError: the file is damaged or readable by other users.
        StorageError: it cannot be made.
    """
    path = state / FILE
    if not os.path.lexists(path):
        write_secret(path, secrets.token_bytes(SEED_BYTES))
    seed = read_secret(path, Secret.COSIGNING_KEY)
    if len(seed) != SEED_BYTES:
        raise IdentityError(
            f"{FILE} is damaged; restore it from your backup, or remove it: another is made, and cosignatures of this "
            "one stay valid",
            code="identity.damaged_key",
        )
    return CosigningKeys(identity.member.uri, identity.keys.identity, MLDSA44PrivateKey.from_seed_bytes(seed))
