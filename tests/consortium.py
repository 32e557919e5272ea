"""A real consortium in a temporary folder, for tests: the members enrol by the functions that the commands call."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from deploy.consortium.authority import Authority
from privacy.channel import enrolment
from privacy.channel.admission import Request, subject
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.channel.member import Member, Role
from privacy.channel.roster_statement import Reason
from privacy.token.description import TokenDescription


class Consortium:
    """An authority and the state directories of its members, all below `root`."""

    def __init__(self, root: Path, name: str = "chest-net", founded: datetime | None = None) -> None:
        self.root = root
        self.tokens: dict[str, TokenDescription] = {}  # whose keys are made in a token
        self.authority = Authority.create(root / "consortium", name, founded or datetime.now(UTC) - timedelta(days=800))

    def state(self, name: str) -> Path:
        return self.root / name

    def member(self, role: Role, name: str) -> Member:
        return Member(self.authority.name, role, name)

    def token_file(self, role: Role, name: str, now: datetime | None = None) -> Path:
        until = (now or datetime.now(UTC)) + timedelta(hours=1)
        path = self.root / f"{role}-{name}.token"
        path.write_text(self.authority.register.invite(self.member(role, name), until) + "\n")
        return path

    def request(self, role: Role, name: str, hosts: Sequence[str] = (), now: datetime | None = None) -> Request:
        token = self.token_file(role, name, now)
        output = self.root / f"{role}-{name}.request.json"
        return enrolment.begin(
            self.state(name), self.member(role, name), tuple(hosts), token, output, self.tokens.get(name)
        )

    def admission_file(self, request: Request, now: datetime | None = None) -> Path:
        admission = self.authority.admit(request, now or datetime.now(UTC))
        path = self.root / f"{request.role}-{request.name}.admission.json"
        path.write_text(admission.model_dump_json())
        return path

    def enrol(self, role: Role, name: str, hosts: Sequence[str] = (), now: datetime | None = None) -> Identity:
        """A member whose certificate begins at `now`; one admitted 400 days ago has expired."""
        admission = self.admission_file(self.request(role, name, hosts, now), now)
        return enrolment.finish(self.state(name), admission, now)

    def silo(self, name: str, now: datetime | None = None) -> Identity:
        return self.enrol(Role.SILO, name, (), now)

    def aggregator(self, name: str = "hub", hosts: Sequence[str] = ("localhost", "127.0.0.1")) -> Identity:
        return self.enrol(Role.AGGREGATOR, name, hosts)

    def roster_statement(self, *revoked: str, days: int = 30, now: datetime | None = None) -> Signed:
        """A new roster statement, which revokes these silos too."""
        revocations, at, life = self.authority.revocations, now or datetime.now(UTC), timedelta(days=days)
        for name in revoked:
            revocations.revoke(self.authority.admitted(Role.SILO, name), Reason.KEY_COMPROMISE, at, life)
        return revocations.renew(at, life)

    def forge(
        self,
        names: Sequence[x509.GeneralName],
        usages: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    ) -> tuple[bytes, bytes]:
        """Key and certificate (PEM) that the CA signed without any check: what TLS alone would let in."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .subject_name(subject(self.member(Role.SILO, "forged")))
            .issuer_name(self.authority.certificate.subject)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self.authority._ca_key, hashes.SHA256())
        )
        return (
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            certificate.public_bytes(Encoding.PEM),
        )
