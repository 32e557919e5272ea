"""Files that people hand to each other: configurations, certificates, keys, requests, answers, and reports."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel

from aggregator.configuration import AggregatorConfig
from aggregator.renewals import Newest
from aggregator.storage.backup import Manifest
from compliance import bundle, changes, clauses, publication, signing
from compliance.budget import Accountant
from compliance.checks import folder as report_folder
from compliance.checks import ledgers as report_ledgers
from compliance.clauses import Clauses
from compliance.evidence import gather
from compliance.report import FORMAT, build
from compliance.signing import Meaning, Signer
from compliance.studies import Accountants
from deploy.consortium.authority import Description
from deploy.consortium.register import Registered, Token
from deploy.consortium.signing import Draft
from deploy.sandbox import draft, wrap
from imaging.cohorts.labelling import Labelling
from imaging.sources.archive import ArchiveFile
from imaging.sources.query import Query
from privacy.channel import certificate, renewal
from privacy.channel.admission import Admission, Request
from privacy.channel.identity import Consortium, Identity
from privacy.channel.key_file import certificate_key, signing_key
from privacy.channel.roster_statement import StatementFile
from privacy.configuration import parse
from privacy.errors import CollegiumError
from privacy.ledger.facts import reporting
from privacy.ledger.heads import cosigner
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.operations import handshake
from privacy.study import SignedStudy
from privacy.token.description import TokenDescription
from silo_node.configuration import SiloConfig
from silo_node.state import StateDirectory
from tests import consortium as real
from tests.compliance import conftest as evidence
from tests.fuzz.disk_targets import KEY, PUBLIC, SAMPLES, studies
from tests.fuzz.files import in_file, placed
from tests.fuzz.image_targets import WIDE, pictures_of
from tests.fuzz.target import Target
from tests.fuzz.wire_targets import requests

REFUSES = (CollegiumError,)
AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
MEMBER = "spiffe://demo/silo/north"


@cache
def a_consortium() -> dict[str, bytes]:
    """Files of a consortium with a silo, and its answer to a request for renewal."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = real.Consortium(root)
        silo = made.silo("north")
        admission = (root / "silo-north.admission.json").read_bytes()
        (member,) = (root / "consortium/members").iterdir()
        return {
            "admission": admission,
            "consortium": (root / "north/identity/consortium.json").read_bytes(),
            "registered": member.read_bytes(),
            "description": (root / "consortium/consortium.json").read_bytes(),
            "certificate": silo.certificate_pem,
            "authority": silo.authority_pem,
            "key": silo.tls_key_pem,
        }


def of_consortium(*names: str) -> Callable[[], Iterator[bytes]]:
    """Such files."""
    return lambda: (a_consortium()[name] for name in names)


def sampled(name: str) -> Callable[[], Iterator[bytes]]:
    """A sample file."""
    return lambda: iter([(SAMPLES / name).read_bytes()])


def plain(**fields: object) -> Callable[[], Iterator[bytes]]:
    """A file of these keys."""
    return lambda: iter([json.dumps(fields).encode()])


def a_draft() -> Iterator[bytes]:
    """A study before it is signed."""
    yield (SAMPLES / "study.yaml").read_bytes()


FILES: Mapping[type[BaseModel], Callable[[], Iterator[bytes]]] = {
    Admission: of_consortium("admission"),
    AggregatorConfig: sampled("aggregator.yaml"),
    ArchiveFile: sampled("pacs.yaml"),
    Clauses: lambda: iter([clauses.OURS.read_bytes()]),
    Consortium: of_consortium("consortium"),
    Description: of_consortium("description"),
    Draft: a_draft,
    Labelling: sampled("labelling.yaml"),
    Manifest: plain(time="2026-03-01", origin=MEMBER, ledger_size=3, ledger_root="ab" * 32, studies={"chest": 2}),
    Newest: plain(format="collegium-certificates/1", silos={"north": {"since": 1, "fingerprint": "ab" * 32}}),
    Query: sampled("query.yaml"),
    Registered: of_consortium("registered"),
    Request: requests,
    SignedStudy: studies,
    SiloConfig: sampled("silo.yaml"),
    StatementFile: plain(
        statement={
            "format": "collegium-roster-statement/1",
            "consortium": "demo",
            "serial": 1,
            "issued": "2026-03-01T00:00:00Z",
            "expires": "2026-04-01T00:00:00Z",
            "revoked": [],
        },
        signature="00" * 64,
    ),
    Token: plain(token="t" * 43, expires=1893456000),
    TokenDescription: sampled("pkcs11.yaml"),
}
"""Every kind of file that `privacy.configuration` reads, with a well-formed one; a test finds what is missing."""


def name_of(kind: type[BaseModel]) -> str:
    """What its target is called."""
    return "file-" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)[1:]


def certified(data: bytes) -> object:
    """A certificate of a stranger, looked at from all sides."""
    found = certificate.parse(data, "it")
    authority = certificate.parse(a_consortium()["authority"], "it")
    seen: list[Callable[[], object]] = [
        lambda: certificate.member_of(found),
        lambda: certificate.check_issued(found, authority),
        lambda: certificate.check_issued(authority, found),
        lambda: certificate.check_dates(found, AT, "its"),
        lambda: certificate.consortium_fingerprint("demo", found, PUBLIC),
        lambda: certificate.fingerprint_of(found),
    ]
    for look in seen:
        with suppress(*REFUSES):
            look()
    return found


def der(pem: bytes) -> bytes:
    """As TLS shows it."""
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def key_file(path: Path) -> None:
    """A private key."""
    path.chmod(0o600)
    for read in (certificate_key, signing_key):
        with suppress(*REFUSES):
            read(path)


def keys() -> Iterator[bytes]:
    """Private keys of both kinds."""
    yield a_consortium()["key"]
    yield KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def a_member() -> tuple[tempfile.TemporaryDirectory[str], Identity]:
    """A silo's identity folder, which no answer changes: it asks for nothing."""
    kept = tempfile.TemporaryDirectory()
    return kept, real.Consortium(Path(kept.name)).silo("north")


def renewed(data: bytes) -> object:
    """The consortium's answer to a request for renewal, as it comes through the aggregator."""
    kept, identity = a_member()
    return renewal.take(Path(kept.name) / "north/identity", identity, data, AT)


@cache
def a_report() -> dict[str, bytes]:
    """The record of a report, and a signature under it."""
    with tempfile.TemporaryDirectory() as folder:
        consortium = evidence.Consortium(Path(folder) / "evidence")
        consortium.root.mkdir()
        consortium.approve("alpha")
        consortium.train("alpha", 1)
        accountants = Accountants(Accountant(evidence.cheap), Accountant(evidence.cheap), None, {"pld": "cheap 1"})
        record = build(gather(consortium.root), accountants, AT).canonical()
        return {"record": record, "signature": Signer(KEY, "Dr. Ada Roe", Meaning.APPROVED).sign(record, AT)}


def report(data: bytes) -> object:
    """A folder with this record, to all that read one."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / bundle.RECORD).write_bytes(data)
        (root / bundle.PREVIOUS).write_bytes(data)
        seen: list[Callable[[], object]] = [
            lambda: publication.publish(root, pdf=False),
            lambda: report_folder.read_record(root),
            lambda: report_ledgers.previous(root, (), None),
            lambda: changes.read(root / bundle.PREVIOUS, FORMAT),
            lambda: reporting.read_report(root),
        ]
        for look in seen:
            try:
                look()
            except REFUSES:
                continue
    return None


@cache
def a_statement() -> bytes:
    """A party's statement about its cosigning key."""
    return cosigner.state(CosigningKeys(MEMBER, KEY, MLDSA44PrivateKey.generate()))


def reports() -> Iterator[bytes]:
    """A report; one is read before any is measured, as templates and schema are compiled then."""
    report(a_report()["record"])
    yield a_report()["record"]


def template(path: Path) -> object:
    """A draft that the sandbox fills in."""
    chosen = draft.Choices(rounds=2, epsilon=1.0, evaluate_on="test", model_seed=3)
    return draft.make(path, ("alpha", "beta", "gamma"), chosen)


ROWS = b"file,patient,label,split\na.png,P-1,1,train\nb.png,P-2,0,test\n"


def table(path: Path) -> object:
    """A table of a folder that the sandbox shares out."""
    return wrap._read(path, ("file", "patient", "label")), draft.planned_lot((path.parent,), 0.1)


TARGETS = (
    *(
        Target(name_of(kind), partial(parse, model=kind, name="file.yaml"), REFUSES, seeds, 16384)
        for kind, seeds in FILES.items()
    ),
    Target("certificate", certified, REFUSES, of_consortium("certificate", "authority")),
    Target(
        "shown-certificate",
        handshake.certificate,
        REFUSES,
        lambda: (der(a_consortium()[name]) for name in ("certificate", "authority")),
    ),
    Target("key-file", partial(in_file, key_file, "tls.key"), REFUSES, keys),
    Target("renewal-answer", renewed, REFUSES, of_consortium("admission")),
    Target(
        "proxy-authorities",
        placed("proxy-ca.pem", lambda folder: StateDirectory(folder).proxy_authorities()),
        REFUSES,
        of_consortium("authority"),
    ),
    Target(
        "cosigner-statement",
        lambda data: cosigner.stated(data, MEMBER, PUBLIC),
        REFUSES,
        lambda: iter([a_statement()]),
    ),
    Target("report", report, REFUSES, reports, 65536, 200),
    Target(
        "report-signature",
        lambda data: signing.verify(data, a_report()["record"]),
        REFUSES,
        lambda: iter([a_report()["signature"]]),
    ),
    Target("sandbox-table", partial(in_file, table, "labels.csv"), REFUSES, lambda: iter([ROWS])),
    Target(
        "sandbox-picture",
        partial(in_file, lambda path: wrap._grey(path.parent, path.name, 2), "x.png"),
        REFUSES,
        partial(pictures_of, "PNG"),
        megabytes=WIDE,
    ),
    Target("sandbox-template", partial(in_file, template, "study.yaml"), REFUSES, a_draft, 16384),
)
