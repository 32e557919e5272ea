"""The consortium's authority: the CA that names members, and the key that signs studies.

It is trusted for names alone: it sees public keys, no data, no update and no budget. What a certificate says is in
`certificates`. All checks of a request are in `privacy.channel.admission`; what was admitted is in `register`, and who
is revoked in the newest roster statement, which this directory keeps.
"""

import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.consortium import certificates
from deploy.consortium.register import Register, Registered
from deploy.consortium.revocations import Revocations
from privacy import durable
from privacy.channel import certificate as profile
from privacy.channel.admission import Admission, Request, check_proof, check_request
from privacy.channel.files import Secret, publish, write_secret
from privacy.channel.key_file import Passphrase, certificate_key, content, signing_key
from privacy.channel.member import Member, Role
from privacy.channel.passphrase import check_new
from privacy.configuration import Strict, load
from privacy.errors import ConfigError, IdentityError, StorageError
from privacy.learning import Name
from privacy.signer import Signer
from privacy.token.description import DESCRIPTION_FILE, TokenDescription
from privacy.token.keys import TokenCertificateKey, TokenSigner, take_back
from privacy.token.session import Token, token_of

CA_LIFE = timedelta(days=3650)
MEMBER_LIFE = timedelta(days=365)


class Description(Strict):
    """`consortium.json` in the consortium's directory."""

    format: Literal["collegium-consortium/1"] = "collegium-consortium/1"
    name: Name


@dataclass(frozen=True)
class Authority:
    """An open consortium directory; made by `create` or `open`."""

    name: Name
    certificate: x509.Certificate
    study_key: Signer = field(repr=False)
    register: Register
    revocations: Revocations = field(repr=False)
    _ca_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(
        cls,
        directory: Path,
        name: str,
        now: datetime,
        passphrase: str | None = None,
        pkcs11: TokenDescription | None = None,
    ) -> "Authority":
        """Make a consortium in `directory`, which must be new or empty: all of it or nothing.

        Its keys are made in the token that `pkcs11` describes, or lie in files, under the passphrase if there is one.

        Raises:
            ConfigError: the name is not a name, the directory holds something, or the passphrase is too short.
            IdentityError: the token is not there, refuses, or has keys of such labels.
            StorageError: the disk refused.
        """
        try:
            description = Description(name=name)
        except ValueError as error:
            raise ConfigError("a consortium's name is 1 to 40 lower-case letters, digits and hyphens") from error
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ConfigError(f"{directory.name} is not an empty directory; choose a new one", code="config.not_empty")
        if passphrase is not None:
            check_new(passphrase)
        ca_key, study_key = _new_keys(None if pkcs11 is None else token_of(pkcs11))
        temporary = directory.with_name(f".{directory.name}.{token_hex(8)}")
        try:
            durable.make_folder(directory.parent)
            for folder in (temporary, temporary / "tokens", temporary / "members"):
                folder.mkdir(mode=0o700)
            if pkcs11 is not None:
                write_secret(temporary / DESCRIPTION_FILE, pkcs11.dump())
            write_secret(temporary / "ca.key", content(ca_key, passphrase))
            write_secret(temporary / "study.key", content(study_key, passphrase))
            made = certificates.of_ca(name, ca_key, now, now + CA_LIFE)
            publish(temporary / "ca.pem", made.public_bytes(Encoding.PEM))
            publish(temporary / "consortium.json", description.model_dump_json().encode() + b"\n")
            temporary.rename(directory)
            try:
                durable.sync_folder(directory.parent)
            except OSError:
                directory.rename(temporary)  # nobody has anything of it yet
                raise
        except OSError as error:
            raise StorageError(f"cannot create {directory.name}: {error.strerror}; free or allow that place") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if not directory.exists():
                take_back(ca_key, study_key)
        return cls.open(directory, lambda: passphrase or "")

    @classmethod
    def open(cls, directory: Path, passphrase: Passphrase | None = None) -> "Authority":
        """Open a consortium's directory; the passphrase is asked once, and only if its keys are under one.

        Raises:
            ConfigError: it is none.
            IdentityError: a key is missing, damaged, readable by others or not that of the CA certificate, or the
                passphrase does not open it.
        """
        if not (directory / "consortium.json").exists():
            raise ConfigError(f"{directory} is not a consortium's directory; run 'init' or check --dir")
        name = load(directory / "consortium.json", Description).name
        once = None if passphrase is None else cache(passphrase)
        ca_key = certificate_key(directory / "ca.key", once, kind=Secret.CONSORTIUM_KEY)
        study_key = signing_key(directory / "study.key", once, kind=Secret.CONSORTIUM_KEY)
        try:
            certificate = profile.parse((directory / "ca.pem").read_bytes(), "ca.pem")
        except OSError as error:
            raise ConfigError("cannot read ca.pem; restore the consortium's directory from its backup") from error
        profile.check_key(certificate, ca_key)
        return cls(
            name, certificate, study_key, Register(directory, name), Revocations(directory, name, study_key), ca_key
        )

    @property
    def public_study_key(self) -> bytes:
        """The Ed25519 key that studies are verified with, 32 bytes."""
        return self.study_key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        """What every member compares by phone after `enrol`."""
        return profile.consortium_fingerprint(self.name, self.certificate, self.public_study_key)

    def admit(self, request: Request, now: datetime) -> Admission:
        """Admit the party that made `request` with its token; the same request again gets the same answer.

        Raises:
            IdentityError: another consortium, a taken name or key, a revoked member, or what `check_proof`,
                `check_request` and `Register.token` raise.
            StorageError: the disk refused; the token is used up only once the member is registered.
        """
        member = request.member
        if member.consortium != self.name:
            raise IdentityError(
                f"the request is for consortium '{member.consortium}', this is '{self.name}'; have 'init' run with the"
                " right name",
                code="identity.foreign",
            )
        known = self.register.find(member)
        if known is not None:
            if known.request != request:
                raise IdentityError(
                    f"{member.uri} is admitted already with other keys; ask who made this request",
                    code="identity.name_taken",
                )
            self.revocations.check(known.request)
            return self._admission(known)
        check_proof(request, self.register.token(member, now))
        registered = Registered(request=request, certificate=self._certify(request, now))
        self.register.add(registered)
        self.register.forget_token(member)
        return self._admission(registered)

    def admitted(self, role: Role, name: Name) -> Request:
        """The request of an admitted member that is not revoked.

        Raises:
            IdentityError: it is not admitted, or revoked.
        """
        request = self.register.named(role, name).request
        self.revocations.check(request)
        return request

    def renew(self, member: Member, now: datetime, asked: Request | None = None) -> Admission:
        """A new certificate for an admitted member, for the TLS key that it has `asked` with or its present one.

        Raises:
            IdentityError: it is not admitted, or revoked; or what it asked differs in more than a new TLS key, or is
                not signed with its identity key.
            StorageError: the disk refused; the old certificate stays valid.
        """
        request = self.admitted(member.role, member.name)
        replaced = self.register.named(member.role, member.name).replaced
        if asked is not None:
            request, replaced = _with_new_key(request, replaced, asked)
        renewed = Registered(request=request, certificate=self._certify(request, now), replaced=replaced)
        self.register.replace(renewed)
        return self._admission(renewed)

    def _certify(self, request: Request, now: datetime) -> str:
        until = min(now + MEMBER_LIFE, self.certificate.not_valid_after_utc)
        made = certificates.of_member(request, self.certificate, self._ca_key, now, until)
        return made.public_bytes(Encoding.PEM).decode()

    def _admission(self, registered: Registered) -> Admission:
        return Admission(
            consortium=self.name,
            role=registered.request.role,
            name=registered.request.name,
            certificate=registered.certificate,
            ca_certificate=self.certificate.public_bytes(Encoding.PEM).decode(),
            study_key=self.public_study_key.hex(),
        )


def _new_keys(token: Token | None) -> tuple[ec.EllipticCurvePrivateKey, Signer]:
    """The key of the CA and the one for studies."""
    if token is None:
        return ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()
    token.refuse_used_label()
    ca_key = TokenCertificateKey.generate(token, "ca")
    try:
        return ca_key, TokenSigner.generate(token, "study")
    except IdentityError:
        ca_key.destroy()
        raise


def _with_new_key(known: Request, replaced: tuple[str, ...], asked: Request) -> tuple[Request, tuple[str, ...]]:
    """What a member asks, once it is sure that the member asks it, and the keys that it replaced with it.

    Everything is as registered but for the TLS key, which is new. A request is signed for good: an old one, shown again
    by whoever took its key, would bring that key back.
    """
    varying = {"csr", "signature", "proof"}
    if asked.model_dump(exclude=varying) != known.model_dump(exclude=varying):
        raise IdentityError(
            f"the request is not that of {known.member.uri} with the keys and hosts it was admitted with; ask who made"
            " it",
            code="identity.other_key",
        )
    replaced = (*replaced, _key_digest(known))
    if _key_digest(asked) in replaced:
        raise IdentityError(
            "the request asks for a certificate of a key that is or was certified already; a renewal brings a new key",
            code="identity.key_reused",
        )
    return asked, replaced


def _key_digest(request: Request) -> str:
    key = check_request(request)
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
