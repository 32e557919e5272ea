"""Who takes part in a study: names, identity keys, threshold and steward, with what these tolerate.

Part of the signed study. The roster code and fingerprints are what people read to each other by phone.
"""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from privacy.configuration import Strict
from privacy.digest import canonical_json, protocol_hash
from privacy.errors import StudyError
from privacy.learning import Name

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes in lower-case hex."""


class Party(Strict):
    """A member of the roster: its name in the certificate and its Ed25519 identity key."""

    name: Name
    identity: Hex32

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the identity key, in groups of four hex digits, for reading over the phone."""
        return fingerprint(bytes.fromhex(self.identity))


class Roster(Strict):
    """Who takes part. Order gives each silo its index (from 1). The steward makes the CKKS key.

    With `statements: required` a silo exchanges keys only under an unexpired roster statement of the consortium, which
    says who is revoked; with `none` nobody can be revoked while the study runs.
    """

    epoch: int = Field(default=1, ge=1)
    threshold: int
    steward: Name
    statements: Literal["required", "none"] = "required"
    aggregator: Party
    silos: tuple[Party, ...] = Field(min_length=2, max_length=64)

    @model_validator(mode="after")
    def _sound(self) -> "Roster":
        names = [silo.name for silo in self.silos]
        keys = [silo.identity for silo in self.silos] + [self.aggregator.identity]
        if len(set(names)) != len(names) or len(set(keys)) != len(keys):
            raise ValueError("every silo needs its own name and its own identity key")
        if self.steward not in names:
            raise ValueError("the steward must be one of the silos")
        if not least_threshold(len(names)) <= self.threshold <= len(names):
            raise ValueError(
                f"threshold must be from {least_threshold(len(names))} to {len(names)} for {len(names)} silos"
            )
        return self

    @property
    def dropouts_tolerated(self) -> int:
        """Silos that may be missing from a round, which then still closes with the sum of the others: n - t."""
        return len(self.silos) - self.threshold

    @property
    def collusion_tolerated(self) -> int:
        """Silos that may collude with the aggregator while every other silo's update stays hidden in the sum.

        min(2t - n - 1, t - 2), protocol.md section 1: with one more, two groups shown different survivors can both
        reach t (first term), or fewer than two honest updates may be in a sum (second).
        """
        return max(0, min(2 * self.threshold - len(self.silos) - 1, self.threshold - 2))

    def index(self, name: str) -> int:
        """The roster index (from 1) of a silo.

        Raises:
            StudyError: it is not on the roster.
        """
        for position, silo in enumerate(self.silos, start=1):
            if silo.name == name:
                return position
        raise StudyError(
            f"silo '{name}' is not on the roster of this study; ask the consortium to sign a study that names it",
            code="study.not_on_roster",
        )

    def digest(self) -> bytes:
        """Digest of all names, keys, threshold and steward, 32 bytes."""
        return protocol_hash("roster", canonical_json(self.model_dump(mode="json")))

    @property
    def code(self) -> str:
        """The short roster code that hospitals read to each other: 40 bits as `XXXX-XXXX` in base 32."""
        alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
        bits = int.from_bytes(self.digest()[:5], "big")
        letters = "".join(alphabet[(bits >> (35 - 5 * i)) & 31] for i in range(8))
        return f"{letters[:4]}-{letters[4:]}"


def least_threshold(silos: int) -> int:
    """The smallest threshold allowed for a roster of `silos` (protocol.md section 1).

    Two silos, which only tests use, need both.
    """
    return min(silos, max(3, 2 * silos // 3 + 1))


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a raw public key as sixteen groups of four hex digits."""
    digest = protocol_hash("fingerprint", public_key).hex()
    return " ".join(re.findall("....", digest))
