"""The name of a party: `spiffe://<consortium>/<role>/<name>`, and nothing else."""

import re
from dataclasses import dataclass
from enum import StrEnum

from privacy.errors import ConfigError, IdentityError

_NAME = r"[a-z][a-z0-9-]{0,39}"
_URI = re.compile(rf"spiffe://({_NAME})/(silo|aggregator)/({_NAME})")


class Role(StrEnum):
    """What a certificate lets its holder be: a silo dials, the aggregator answers."""

    SILO = "silo"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True)
class Member:
    """One party of one consortium; built only from a verified certificate or by its own operator.

    Raises:
        ConfigError: `consortium` or `name` is not 1 to 40 lower-case letters, digits and hyphens.
    """

    consortium: str
    role: Role
    name: str

    def __post_init__(self) -> None:
        for value in (self.consortium, self.name):
            if not re.fullmatch(_NAME, value):
                raise ConfigError("a name is 1 to 40 lower-case letters, digits and hyphens, and starts with a letter")

    @property
    def uri(self) -> str:
        """The SPIFFE id, the one URI SAN of the member's certificate."""
        return f"spiffe://{self.consortium}/{self.role}/{self.name}"

    @classmethod
    def from_uri(cls, uri: str) -> "Member":
        """Read a SPIFFE id.

        Raises:
            IdentityError: it is not one of ours.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            raise IdentityError(
                "the certificate does not name a member of a consortium; use the one that 'admit' wrote",
                code="identity.no_spiffe_id",
            )
        return cls(match[1], Role(match[2]), match[3])
