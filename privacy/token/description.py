"""The files that say where a key in a token is: `pkcs11.yaml`, and what lies in place of each key's own file.

Neither is secret: the PIN is in a file of its own, which only its owner may read. Nothing here asks a token.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field

from privacy.configuration import Strict, load, parse
from privacy.errors import ConfigError, IdentityError

DESCRIPTION_FILE = "pkcs11.yaml"


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        raise ValueError("a path from the root is needed, as programs start in other folders")
    return path


AbsolutePath = Annotated[str, Field(max_length=1000), AfterValidator(_absolute)]
Algorithm = Literal["ed25519", "p256"]


class TokenDescription(Strict):
    """`pkcs11.yaml`: which token, by which module, and the file with its PIN."""

    format: Literal["collegium-pkcs11/1"] = "collegium-pkcs11/1"
    module: AbsolutePath
    """The vendor's PKCS#11 library, such as `/usr/lib/softhsm/libsofthsm2.so`."""
    token: Annotated[str, Field(min_length=1, max_length=32)]
    """The token's label."""
    key_label: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    """What the labels of the keys made here begin with; no other key of the token may."""
    pin_file: AbsolutePath
    """A file, 0600, that holds the user's PIN."""

    @classmethod
    def within(cls, folder: Path) -> "TokenDescription":
        """That of a folder of keys.

        Raises:
            ConfigError: there is none, or it does not fit.
        """
        return load(folder / DESCRIPTION_FILE, cls)

    def dump(self) -> bytes:
        """The content of the file."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False).encode()


class KeyReference(Strict):
    """What a key's file holds when the key is in the token: its place there, and its public half."""

    format: Literal["collegium-token-key/1"] = "collegium-token-key/1"
    algorithm: Algorithm
    label: Annotated[str, Field(min_length=1, max_length=80)]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    public_key: Annotated[str, Field(pattern=r"^([0-9a-f]{64}|04[0-9a-f]{128})$")]
    """32 bytes of Ed25519, or the 65 bytes of an uncompressed point of P-256; hex."""

    @classmethod
    def read(cls, data: bytes, name: str) -> "KeyReference":
        """Read the content of the key file `name`.

        Raises:
            IdentityError: it is none, or another's key.
        """
        try:
            return parse(data, cls, name=name)
        except ConfigError as error:
            raise IdentityError(
                f"{name} is damaged; restore it from your backup", code="identity.damaged_key"
            ) from error

    def dump(self) -> bytes:
        """The content of a key's file."""
        return self.model_dump_json(indent=2).encode() + b"\n"
