"""A silo's next certificate: asked for with a new TLS key at two thirds of the present one's life, and taken up.

The request is one of `admission`, signed by the identity key, which stays; in place of a token the consortium compares
that key with its register. The new key waits in `identity/next/` until its certificate is there, and both then take the
place of the old ones, also when the process is killed in between (`identity.settle`).
"""

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from privacy import durable
from privacy.channel import certificate as profile
from privacy.channel.admission import Admission, Request, make_request
from privacy.channel.files import publish, write_secret
from privacy.channel.identity import (
    CERTIFICATE_FILE,
    NEXT_FOLDER,
    REQUEST_FILE,
    TLS_FILE,
    USES,
    Identity,
    Keys,
    retired,
    settle,
)
from privacy.channel.key_file import certificate_key, content, reference_in
from privacy.channel.member import Member
from privacy.configuration import load
from privacy.errors import IdentityError, ProtocolError
from privacy.token.description import TokenDescription
from privacy.token.keys import TokenCertificateKey, take_back
from privacy.token.session import token_of

_log = logging.getLogger(__name__)


def due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether two thirds of a certificate's life are over at `now` (aware)."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begin + (end - begin) * 2 / 3


def asked(folder: Path, identity: Identity) -> Request:
    """The request for the next certificate of an identity folder; made, with its key, when there is none yet.

    Raises:
        StorageError: the disk refused.
    """
    place = folder / NEXT_FOLDER
    if not place.exists():
        key = _new_key(identity)
        hosts = load(folder / REQUEST_FILE, Request).hosts
        request = make_request(identity.member, hosts, Keys(identity.keys.identity, key, identity.keys.hpke), None)
        temporary = folder / f".{NEXT_FOLDER}.{token_hex(8)}"
        try:
            durable.make_folder(temporary)
            write_secret(temporary / TLS_FILE, content(key))
            publish(temporary / REQUEST_FILE, request.model_dump_json(indent=2).encode() + b"\n")
            temporary.rename(place)
            durable.sync_folder(folder)
        except OSError as error:
            raise durable.storage_error(error, place) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if not place.exists():
                take_back(key)
    return load(place / REQUEST_FILE, Request)


def unanswered_since(folder: Path) -> datetime | None:
    """When the request that an identity folder waits for an answer to was made; None when there is none."""
    try:
        return datetime.fromtimestamp((folder / NEXT_FOLDER / REQUEST_FILE).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def take(folder: Path, present: Identity, answer: bytes, now: datetime | None = None) -> Identity:
    """Check the consortium's answer to `asked`, and take its certificate and the new key up.

    Raises:
        IdentityError: for another member or key, of another consortium, or not valid at `now`; nothing is changed.
        ProtocolError: not an admission.
        StorageError: the disk refused; the old certificate is in use, or the new one after the next start.
    """
    try:
        admission = Admission.model_validate_json(answer)
    except ValidationError as error:
        raise ProtocolError("the consortium's answer is malformed", code="protocol.malformed") from error
    if Member(admission.consortium, admission.role, admission.name) != present.member:
        raise IdentityError("the consortium's answer is for another member", code="identity.other_member")
    authority = profile.parse(admission.ca_certificate.encode(), "the CA certificate in the admission")
    if authority != present.authority or bytes.fromhex(admission.study_key) != present.study_key:
        raise IdentityError("the answer is of another consortium than the present one", code="identity.foreign")
    key = certificate_key(folder / NEXT_FOLDER / TLS_FILE, folder=folder)
    keys = Keys(present.keys.identity, key, present.keys.hpke)
    certificate = profile.parse(admission.certificate.encode(), "the certificate in the admission")
    renewed = Identity(present.member, keys, certificate, authority, present.study_key)
    renewed.check_dates(now or datetime.now(UTC))
    publish(folder / NEXT_FOLDER / CERTIFICATE_FILE, renewed.certificate_pem)  # from here on it is taken up
    settle(folder)
    destroy_retired(folder)
    return renewed


def destroy_retired(folder: Path) -> None:
    """Destroy the keys in the token that are certified no more; a token that is gone now is asked at the next renewal.

    Raises:
        StorageError: the disk refused.
    """
    for path in retired(folder):
        try:
            reference = reference_in(path)
            if reference is not None:
                token_of(TokenDescription.within(folder)).destroy(reference)
        except IdentityError as error:
            sentence = "a TLS key that is used no more stays in the token: %s"
            _log.warning(sentence, error, extra={"code": error.code})
            return
        try:
            path.unlink()
        except OSError as error:
            raise durable.storage_error(error, path) from error


def _new_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    """Made where the present one is."""
    present = identity.keys.tls
    if isinstance(present, TokenCertificateKey):
        return TokenCertificateKey.generate(present.token, USES[1])
    return ec.generate_private_key(ec.SECP256R1())
