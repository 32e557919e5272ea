"""What a study says of its starting weights; `imaging.networks.pretrained` reads and places them."""

from typing import Annotated

from pydantic import Field

from privacy.configuration import Strict

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
"""The beginning of names of a model's parameters."""


class Pretrained(Strict):
    """Starting weights: the safetensors file with this SHA-256, which every silo must have.

    `rename` maps prefixes of names in the file to those of the model; parameters that begin with one of `skip` keep the
    values of the public seed; names in the file that begin with one of `ignore` are left out.
    """

    sha256: Sha256
    rename: dict[Prefix, Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{0,200}$")]] = Field(
        default_factory=dict, max_length=100
    )
    skip: tuple[Prefix, ...] = Field(default=(), max_length=100)
    ignore: tuple[Prefix, ...] = Field(default=(), max_length=100)
