"""The certificate profile: what a member's certificate must be, each point a check that raises.

EC P-256 keys (grpcio's BoringSSL refuses Ed25519 certificates), issued directly by the consortium's
CA, exactly one URI SAN (the SPIFFE id, as in the X.509-SVID standard section 2), extended key usage
by role: a silo's certificate cannot serve and an aggregator's cannot dial.
"""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from privacy.channel.member import Member, Role
from privacy.errors import IdentityError
from privacy.roster import fingerprint

USAGE: dict[Role, ObjectIdentifier] = {
    Role.SILO: ExtendedKeyUsageOID.CLIENT_AUTH,
    Role.AGGREGATOR: ExtendedKeyUsageOID.SERVER_AUTH,
}


UNREADABLE = (
    TypeError,
    UnsupportedAlgorithm,
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises on a certificate that is none, when it is read or only when a part of it is asked for."""


def parse(pem: bytes, what: str) -> x509.Certificate:
    """Read one PEM certificate; `what` is how the error calls it.

    Raises:
        IdentityError: it is not a certificate.
    """
    try:
        found = x509.load_pem_x509_certificate(pem)
        _ = (found.public_key(), found.extensions, found.not_valid_after_utc, found.subject, found.issuer)
    except UNREADABLE as error:
        raise IdentityError(
            f"{what} is not a certificate; get it again from the consortium", code="identity.malformed"
        ) from error
    return found


def read(path: Path) -> x509.Certificate:
    """Read the certificate in a file of an identity folder.

    Raises:
        IdentityError: there is none.
    """
    try:
        return parse(path.read_bytes(), path.name)
    except OSError as error:
        raise IdentityError(f"cannot read {path.name}; run 'enrol' again", code="identity.not_enrolled") from error


def member_of(certificate: x509.Certificate) -> Member:
    """The member that a certificate names, by its only URI SAN.

    Raises:
        IdentityError: none, several, or not a SPIFFE id of ours.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, *UNREADABLE):
        uris = []
    return Member.from_uri(uris[0] if len(uris) == 1 else "")


def check_dates(certificate: x509.Certificate, now: datetime, whose: str) -> None:
    """Check that `now` (aware, UTC) is within the certificate's validity; `whose` begins the sentence.

    Raises:
        IdentityError: expired, or not valid yet.
    """
    if now > certificate.not_valid_after_utc:
        raise IdentityError(
            f"{whose} certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it with"
            f" 'collegium-consortium renew' and 'enrol', unless the clock here, {now:%Y-%m-%d %H:%M} UTC, is wrong",
            code="identity.expired",
        )
    if now < certificate.not_valid_before_utc:
        raise IdentityError(
            f"{whose} certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC;"
            f" set the clock of this machine, which says {now:%Y-%m-%d %H:%M}",
            code="identity.not_yet_valid",
        )


def check_issued(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Check that the CA issued this certificate for the role that it names.

    Raises:
        IdentityError: another issuer, a CA that is none, or another extended key usage.
    """
    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise ValueError("not a CA")
        certificate.verify_directly_issued_by(authority)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, *UNREADABLE) as error:
        raise IdentityError(
            "the certificate was issued by another consortium; use the admission of the consortium you enrolled with",
            code="identity.foreign",
        ) from error
    if list(usage) != [USAGE[member_of(certificate).role]]:
        raise IdentityError(
            "the certificate is for another role; ask the consortium to admit you again", code="identity.wrong_role"
        )


def check_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Check that a certificate is that of `key`.

    Raises:
        IdentityError: it is for another key.
    """
    if certificate.public_key() != key.public_key():
        raise IdentityError(
            "the certificate is for another key than the one made here; use the admission of your own request",
            code="identity.other_key",
        )


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, 64 hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def consortium_fingerprint(name: str, authority: x509.Certificate, study_key: bytes) -> str:
    """What people compare by phone: it covers the consortium's name, its CA key and its study-signing key."""
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise IdentityError("the consortium's CA has no EC key; ask for its admission again", code="identity.malformed")
    raw = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return fingerprint(name.encode() + b"\x00" + raw + study_key)
