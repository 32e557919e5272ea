"""The keys of a member, made on site, and the certificate that the consortium gave for one of them.

Three keys, one purpose each: `identity` (Ed25519: messages, ledger; pinned in the signed study),
`tls` (EC P-256: the certificate) and, for a silo alone, `hpke` (ML-KEM-768 + X25519: keys that are
handed on). The aggregator has no HPKE key because nothing may be sealed to it. Private keys never
leave the folder `identity/` of the state directory; none of this is shown by `repr`.
"""

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from privacy import durable
from privacy.channel import certificate as profile
from privacy.channel.files import read_secret, write_secret
from privacy.channel.key_file import certificate_key, content, private_pem, reference_in, signing_key
from privacy.channel.member import Member, Role
from privacy.configuration import Strict, load
from privacy.errors import IdentityError, StorageError
from privacy.learning import Name
from privacy.roster import Hex32, fingerprint
from privacy.signer import Signer
from privacy.token.description import DESCRIPTION_FILE
from privacy.token.keys import TokenCertificateKey, TokenSigner, take_back
from privacy.token.session import Token

IDENTITY_FILE = "identity.key"
TLS_FILE = "tls.key"
HPKE_FILE = "hpke.key"
CERTIFICATE_FILE = "certificate.pem"
AUTHORITY_FILE = "ca.pem"
CONSORTIUM_FILE = "consortium.json"
REQUEST_FILE = "request.json"
RETIRED = "retired-"
"""Begins the name of a file that names a TLS key in a token that is certified no more."""
USES = ("identity", "tls")
"""What the labels of keys in a token end with."""
NEXT_FOLDER = "next"
"""A new TLS key and its request, until its certificate comes (`privacy.channel.renewal`)."""


class HpkeKey:
    """A long-term ML-KEM-768 + X25519 key, kept as its 96-byte seed (64 of ML-KEM, 32 of X25519)."""

    SEED_BYTES = 96

    def __init__(self, seed: bytes) -> None:
        if len(seed) != self.SEED_BYTES:
            raise IdentityError(f"{HPKE_FILE} is damaged; restore it from your backup", code="identity.damaged_key")
        self.seed = seed
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:64])
        self._x25519 = X25519PrivateKey.from_private_bytes(seed[64:])

    @property
    def private(self) -> MLKEM768X25519PrivateKey:
        """The key as `cryptography`'s HPKE suite takes it."""
        return MLKEM768X25519PrivateKey(self._mlkem, self._x25519)

    @property
    def public(self) -> bytes:
        """The public key, 1184 + 32 bytes."""
        return self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()


@dataclass(frozen=True)
class Keys:
    """The private keys of one member; `hpke` is a silo's alone."""

    identity: Signer = field(repr=False)
    tls: ec.EllipticCurvePrivateKey = field(repr=False)
    hpke: HpkeKey | None = field(repr=False)

    @classmethod
    def generate(cls, role: Role, token: Token | None = None) -> "Keys":
        """Fresh keys from the operating system's randomness; but for HPKE made in the token, when one is given.

        Raises:
            IdentityError: the token is not there, refuses, or has keys with such labels already.
        """
        hpke = HpkeKey(secrets.token_bytes(HpkeKey.SEED_BYTES)) if role is Role.SILO else None
        if token is None:
            return cls(Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1()), hpke)
        token.refuse_used_label()
        identity = TokenSigner.generate(token, USES[0])
        try:
            return cls(identity, TokenCertificateKey.generate(token, USES[1]), hpke)
        except IdentityError:
            identity.destroy()
            raise

    @classmethod
    def load(cls, folder: Path) -> "Keys":
        """Read the keys of `folder`.

        Raises:
            IdentityError: one is missing, damaged or readable by other users.
        """
        identity = signing_key(folder / IDENTITY_FILE)
        tls = certificate_key(folder / TLS_FILE)
        hpke = folder / HPKE_FILE
        return cls(identity, tls, HpkeKey(read_secret(hpke)) if os.path.lexists(hpke) else None)

    def store(self, folder: Path) -> None:
        """Write the keys into the existing `folder`, each 0600 and never over another.

        Raises:
            StorageError: a key is there already, or the disk refused.
        """
        if isinstance(self.identity, TokenSigner):
            write_secret(folder / DESCRIPTION_FILE, self.identity.token.description.dump())
        write_secret(folder / IDENTITY_FILE, content(self.identity))
        write_secret(folder / TLS_FILE, content(self.tls))
        if self.hpke is not None:
            write_secret(folder / HPKE_FILE, self.hpke.seed)

    def take_back(self) -> None:
        """Destroy what was made in a token, when nothing comes of it. Raises IdentityError."""
        take_back(self.identity, self.tls)

    @property
    def public_identity(self) -> bytes:
        """The Ed25519 public key that the roster pins, 32 bytes."""
        return self.identity.public_key().public_bytes_raw()


class Consortium(Strict):
    """`consortium.json`: who we are and whose studies we take. Written last, so it marks a finished enrolment."""

    consortium: Name
    role: Role
    name: Name
    study_key: Hex32


@dataclass(frozen=True)
class Identity:
    """A member that is enrolled: its name, its keys, its certificate and the consortium it trusts."""

    member: Member
    keys: Keys
    certificate: x509.Certificate
    authority: x509.Certificate
    study_key: bytes
    """The consortium's Ed25519 study-signing key, 32 bytes."""

    def __post_init__(self) -> None:
        profile.check_issued(self.certificate, self.authority)
        profile.check_key(self.certificate, self.keys.tls)
        if profile.member_of(self.certificate) != self.member:
            raise IdentityError(
                f"the certificate is not that of {self.member.uri}; use the admission of your own request",
                code="identity.other_member",
            )

    @classmethod
    def load(cls, folder: Path) -> "Identity":
        """Read the identity folder of a state directory; the dates are checked when it is used.

        Raises:
            IdentityError: not enrolled, or keys, certificate and name do not belong together.
        """
        if not (folder / CONSORTIUM_FILE).exists():
            raise IdentityError(
                "this state directory is not enrolled; run 'init', have the request admitted, then run 'enrol'",
                code="identity.not_enrolled",
            )
        settle(folder)
        known = load(folder / CONSORTIUM_FILE, Consortium)
        own, authority = (profile.read(folder / name) for name in (CERTIFICATE_FILE, AUTHORITY_FILE))
        member = Member(known.consortium, known.role, known.name)
        return cls(member, Keys.load(folder), own, authority, bytes.fromhex(known.study_key))

    def check_dates(self, now: datetime | None = None) -> None:
        """Check that our own certificate is valid at `now` (aware; the clock when left out).

        Raises:
            IdentityError: expired or not yet valid.
        """
        profile.check_dates(self.certificate, now or datetime.now(UTC), "our own")

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM, for TLS."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def authority_pem(self) -> bytes:
        """The CA certificate in PEM: the only root that TLS trusts."""
        return self.authority.public_bytes(Encoding.PEM)

    @property
    def tls_key_pem(self) -> bytes:
        """The TLS private key in PEM; secret. One in a token has none: RuntimeError."""
        return private_pem(self.keys.tls)

    @property
    def fingerprint(self) -> str:
        """Our identity key's fingerprint, as the study's roster shows it."""
        return fingerprint(self.keys.public_identity)

    @property
    def certificate_fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), hex."""
        return profile.fingerprint_of(self.certificate)

    @property
    def consortium_fingerprint(self) -> str:
        """What is compared with the consortium by phone."""
        return profile.consortium_fingerprint(self.member.consortium, self.authority, self.study_key)


def create_folder(folder: Path, keys: Keys, request: bytes) -> None:
    """Create an identity folder (0700) with new keys and the request for a certificate: all of it or nothing.

    Raises:
        IdentityError: the folder exists; keys are never replaced.
        StorageError: the disk refused.
    """
    refuse_existing(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        durable.make_folder(folder.parent)
        temporary.mkdir(mode=0o700)
        keys.store(temporary)
        write_secret(temporary / REQUEST_FILE, request)
        temporary.rename(folder)
        try:
            durable.sync_folder(folder.parent)
        except OSError:
            folder.rename(temporary)  # nobody has its request yet
            raise
    except OSError as error:
        raise StorageError(
            f"cannot create the identity folder: {error.strerror}; free or allow that place and try again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(folder: Path) -> None:
    """Check that there is no identity folder yet. Raises IdentityError."""
    if os.path.lexists(folder):
        raise IdentityError(
            "this state directory has keys already, which are never replaced; a silo moves to another consortium under "
            "its present name, another member needs another directory",
            code="identity.exists",
        )


def settle(folder: Path) -> None:
    """Let a new TLS key take the place of the old one once its certificate is there; the same again changes nothing.

    Raises:
        StorageError: the disk refused.
    """
    place = folder / NEXT_FOLDER
    if not (place / CERTIFICATE_FILE).exists():
        return
    try:
        _retire(folder)
        for name in (TLS_FILE, REQUEST_FILE, CERTIFICATE_FILE):  # the certificate last: it says that we are not done
            with suppress(FileNotFoundError):  # done before a stop, or by another command
                (place / name).replace(folder / name)
        durable.sync_folder(folder)
    except OSError as error:
        raise durable.storage_error(error, folder) from error
    shutil.rmtree(place, ignore_errors=True)


def retired(folder: Path) -> tuple[Path, ...]:
    """The files that name TLS keys in a token that are certified no more, and are to be destroyed."""
    return tuple(sorted(folder.glob(f"{RETIRED}*.key")))


def _retire(folder: Path) -> None:
    """Note which key in the token the new one takes the place of; a key in a file is replaced with it."""
    if not (folder / NEXT_FOLDER / TLS_FILE).exists() or not (folder / TLS_FILE).exists():
        return
    reference = reference_in(folder / TLS_FILE)
    if reference is not None:
        durable.write(folder / f"{RETIRED}{reference.id}.key", reference.dump())
