"""The list of what a release consists of, and its signature: two small files beside the files that they are about.

`release.json` is canonical JSON with the SHA-256 of every other file; `release.sig` an Ed25519 signature over it, with
the key. Whoever verifies knows the key's fingerprint from elsewhere: what the folder says of itself proves nothing.
Nothing here reads the files of a release; that is for `privacy.release.checks`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AfterValidator, Field, ValidationError, model_validator

from privacy import regular
from privacy.configuration import Strict
from privacy.digest import canonical_json
from privacy.errors import CorruptState, IdentityError
from privacy.roster import Hex32, fingerprint
from privacy.signer import Signer

MANIFEST, SIGNATURE = "release.json", "release.sig"
CONTEXT = b"collegium/v1/release\x00"
MAX_BYTES = 4 * 2**20
"""Either file is refused before it is parsed when it is larger."""


ModelT = TypeVar("ModelT", bound=Strict)


def _inside(path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("not a plain relative path")
    if path in (MANIFEST, SIGNATURE):
        raise ValueError("the list is not in itself")
    return path


class ReleasedFile(Strict):
    """One file: its path below the folder, with `/`, its size in bytes and its SHA-256."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+/-]{1,255}$"), AfterValidator(_inside)]
    size: int = Field(ge=0, lt=2**40)
    sha256: Hex32


class Release(Strict):
    """A release: version, commit, its files ascending by path, and the digest of the code of each program.

    `code` has the digests that programs enter into their ledgers (`privacy.ledger.facts.software`), so that a report
    can be traced to a release; the aggregator's image holds less code than its wheel, and has a digest of its own.
    """

    format: Literal["collegium-release/1"] = "collegium-release/1"
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    code: dict[Annotated[str, Field(pattern=r"^[a-z-]{1,40}$")], Hex32]
    files: tuple[ReleasedFile, ...] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _ordered(self) -> "Release":
        paths = [file.path for file in self.files]
        if paths != sorted(set(paths)):
            raise ValueError("files stand once each, ascending by path")
        return self

    def canonical(self) -> bytes:
        """The bytes of `release.json`, which are signed."""
        return canonical_json(self.model_dump(mode="json"))


class ReleaseSignature(Strict):
    """Who signed `release.json`, and how."""

    format: Literal["collegium-release-signature/1"] = "collegium-release-signature/1"
    key: Hex32
    ed25519: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def sign(release: Release, key: Signer) -> ReleaseSignature:
    """Sign a release."""
    public = key.public_key().public_bytes_raw().hex()
    return ReleaseSignature(key=public, ed25519=key.sign(CONTEXT + release.canonical()).hex())


def load(folder: Path, trusted: Sequence[str]) -> Release:
    """The release that a folder says it is, once its signature by a trusted key is verified.

    Args:
        folder: with `release.json` and `release.sig`.
        trusted: fingerprints of keys, as `fingerprint` writes them; white space and case do not matter.

    Raises:
        IdentityError: `release.foreign_key`, `release.bad_signature`: not signed by a trusted key.
        CorruptState: a file is missing, too large or malformed.
    """
    body = _read(folder / MANIFEST)
    signature = _parsed(ReleaseSignature, _read(folder / SIGNATURE), SIGNATURE)
    public = bytes.fromhex(signature.key)
    if _plain(fingerprint(public)) not in {_plain(one) for one in trusted}:
        raise IdentityError(
            f"the release is signed by another key ({fingerprint(public)}) than the one you named; get the fingerprint "
            "from who publishes Collegium, not from the folder, and fetch the release again",
            code="release.foreign_key",
        )
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(signature.ed25519), CONTEXT + body)
    except (InvalidSignature, ValueError) as error:
        raise IdentityError(
            f"{MANIFEST} is not what was signed; fetch the release again", code="release.bad_signature"
        ) from error
    return _canonical(body)


def unsigned(folder: Path) -> Release:
    """The release that a folder says it is, for who signs it. Raises CorruptState: missing, too large or malformed."""
    return _canonical(_read(folder / MANIFEST))


def _canonical(body: bytes) -> Release:
    release = _parsed(Release, body, MANIFEST)
    if release.canonical() != body:
        raise CorruptState(f"{MANIFEST} is not in canonical form; fetch the release again", code="release.malformed")
    return release


def _plain(text: str) -> str:
    return re.sub(r"\s", "", text).lower()


def _read(path: Path) -> bytes:
    try:
        data = regular.read(path, MAX_BYTES + 1)
    except regular.NotRegularError as error:
        raise CorruptState(
            f"cannot read {path.name}: {error.strerror}; fetch the release again, and tell who publishes it",
            code="release.altered",
        ) from error
    except OSError as error:
        raise CorruptState(
            f"cannot read {path.name}: {error.strerror}; name the folder that the bundle was unpacked to",
            code="release.missing",
        ) from error
    if len(data) > MAX_BYTES:
        raise CorruptState(f"{path.name} is too large; fetch the release again", code="release.malformed")
    return data


def _parsed(model: type[ModelT], data: bytes, name: str) -> ModelT:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise CorruptState(f"{name} is malformed; fetch the release again", code="release.malformed") from error
