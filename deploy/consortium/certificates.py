"""What the consortium's certificates say: that of its CA, and those that it issues to members.

The CA may only issue end-entity certificates (path length 0) with SPIFFE ids of its own consortium (name constraint).
Who gets a certificate, and for how long, is decided in `authority`; what a peer's must be is checked by
`privacy.channel.certificate`.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from privacy.channel import certificate as profile
from privacy.channel.admission import Request, alternative_names, check_request, subject

CLOCK_SKEW = timedelta(minutes=5)
"""Certificates begin this much earlier, for members whose clock is behind."""


def of_ca(name: str, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime) -> x509.Certificate:
    """The certificate of a consortium's CA, signed with its own key."""
    subject_name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
            x509.NameAttribute(NameOID.COMMON_NAME, f"consortium {name}"),
        ]
    )
    own_ids = x509.NameConstraints([x509.UniformResourceIdentifier(name)], None)
    return (
        _certificate(now, until)
        .subject_name(subject_name)
        .issuer_name(subject_name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(own_ids, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def of_member(
    request: Request, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.Certificate:
    """The certificate of the TLS key that a member asks with.

    Raises:
        IdentityError: what `check_request` raises.
    """
    member, key = request.member, check_request(request)
    return (
        _certificate(now, until)
        .subject_name(subject(member))
        .issuer_name(ca.subject)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([profile.USAGE[member.role]]), critical=True)
        .add_extension(alternative_names(member, request.hosts), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _certificate(now: datetime, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
