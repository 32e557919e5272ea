"""Where a silo keeps what: one place that knows the names in the state directory.

identity/   keys and certificate          ledger/    the silo's ledger
proxy.url, proxy-ca.pem  the proxy on the way to the aggregator, and who vouches for it where it opens TLS
silo.yaml   local policy                  pseudonym.key, cohort.key  secrets of pseudonyms, and of stored images
roster-statement-<consortium>.json  the newest that was seen
pseudonyms.sqlite, pseudonyms-<project>.sqlite  names drawn at random, where a de-identification profile wants them
cohorts/<cohort>/                         patients/  pseudonyms of all cohorts that ever were
catalogues/, volumes/  indices of the folders that images are read from, and what was decoded of them
studies/<study>/{study.yaml, approval.json, key, announcement, model, close, halted, rolled-back, seen-heads}, and of
                the round {upload/, sum/, snapshot/, audit}, transformed/ while it trains, and start.safetensors, the
                public weights that it starts from if it does
"""

import hmac
import re
import secrets
from pathlib import Path

from cryptography import x509

from privacy.channel import files
from privacy.channel.certificate import UNREADABLE
from privacy.channel.files import Secret, read_secret
from privacy.channel.identity import Identity
from privacy.channel.statement_memory import StatementMemory
from privacy.durable import make_folder, write
from privacy.errors import ConfigError, CorruptState, PolicyRefused
from privacy.ledger.facts import certificates
from privacy.ledger.facts.ending import refuse_decommissioned
from privacy.ledger.store import Ledger
from privacy.operations.secret_files import COMMON

PROXY_CA_FILE = "proxy-ca.pem"
SECRET = (
    *COMMON,
    "proxy.url",
    "pseudonym.key",
    "cohort.key",
    "patients/*",
    "pseudonyms*.sqlite*",
    "studies/*/key",
    "egress/*.jsonl",
    "stop-request.json",
)
"""The files that only their owner may read, as globs: docs/reference/files.md calls them secret."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class StateDirectory:
    """The state directory of one silo."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ConfigError(f"there is no state directory '{root.name}'; run 'collegium-silo init' first")
        self.root = root

    @property
    def identity_folder(self) -> Path:
        """Keys and certificate."""
        return self.root / "identity"

    def identity(self) -> Identity:
        """The enrolled identity. Raises IdentityError when not enrolled, or decommissioned."""
        refuse_decommissioned(self.root)
        return Identity.load(self.identity_folder)

    def proxy(self) -> str | None:
        """The HTTP proxy in `proxy.url`, if there is that file. Raises IdentityError when others may read it."""
        path = self.root / "proxy.url"
        return read_secret(path, Secret.PROXY).decode("utf-8", "replace").strip() if path.exists() else None

    def proxy_authorities(self) -> bytes:
        """The certificates (PEM) in `proxy-ca.pem`, which vouch for one-way lines. Raises ConfigError: none there."""
        path = self.root / PROXY_CA_FILE
        try:
            with path.open("rb") as file:
                data = file.read(files.MAX_BYTES)
            x509.load_pem_x509_certificates(data)
        except (OSError, *UNREADABLE) as error:
            raise ConfigError(
                f"{path.name} has no certificates: with one_way_tls in silo.yaml, put there the CA certificate (PEM) "
                "of the proxy that opens TLS",
                code="config.proxy_ca",
            ) from error
        return data

    def open_ledger(self, identity: Identity) -> Ledger:
        """The silo's ledger, made at its first use; it says which certificate this silo holds.

        Raises:
            CorruptState: damaged, or there is none although cohorts were ingested: a new one would forget what was
                spent on them. IdentityError: it was written with another identity key. As `Ledger.open`.
        """
        folder = self.root / "ledger"
        if (folder / "origin.json").exists():
            ledger = Ledger.open(folder, identity.keys.identity)
        elif any(self.root.glob("cohorts/*")) or any(self.patients.glob("*")):
            raise CorruptState(
                "the ledger is missing, and with it what was spent on the cohorts here; restore it from a backup",
                code="ledger.missing",
            )
        else:
            ledger = Ledger.create(folder, identity.member.uri, identity.keys.identity)
        try:
            member = identity.member
            certificates.enter(ledger, member.name, member.consortium, identity.certificate_fingerprint)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def statements(self, identity: Identity) -> StatementMemory:
        """The newest roster statement that this silo has seen. Raises CorruptState when it is damaged."""
        consortium = identity.member.consortium
        return StatementMemory(self.root / f"roster-statement-{consortium}.json", consortium, identity.study_key)

    @property
    def patients(self) -> Path:
        """Folder of the pseudonyms of all cohorts, see `silo_node.cohorts.patients`."""
        return self.root / "patients"

    def pseudonym_key(self) -> bytes:
        """The secret of patient pseudonyms, 32 bytes, made at its first use; it never leaves the site."""
        return self._secret("pseudonym.key")

    def cohort_key(self) -> bytes:
        """The secret that images of cohorts are sealed with, 32 bytes, made at its first use; never leaves."""
        return self._secret("cohort.key")

    def catalogue(self, source: Path) -> Path:
        """The index of a folder that images are read from; its name tells nothing of the folder's."""
        name = hmac.digest(self.pseudonym_key(), b"collegium/v1/catalogue\x00" + bytes(source.resolve()), "sha256")
        folder = self.root / "catalogues"
        make_folder(folder)
        return folder / f"{name[:16].hex()}.sqlite"

    @property
    def volumes(self) -> Path:
        """Folder of decoded volumes, sealed; it may be removed at any time."""
        return self.root / "volumes"

    def _secret(self, name: str) -> bytes:
        path = self.root / name
        if not path.exists():
            write(path, secrets.token_bytes(32))
        return path.read_bytes()

    def pseudonym_table(self, project: str | None) -> Path:
        """The table of random pseudonyms, of a project or of none, see `imaging.deidentification`."""
        return self.root / (f"pseudonyms-{_checked(project, 'project')}.sqlite" if project else "pseudonyms.sqlite")

    def cohort(self, name: str) -> Path:
        """Folder of a cohort. Raises ConfigError when that is no name."""
        return self.root / "cohorts" / _checked(name, "cohort")

    def study(self, name: str) -> "StudyDirectory":
        """Folder of a study. Raises ConfigError when that is no name."""
        return StudyDirectory(self.root / "studies" / _checked(name, "study"))

    def approved_studies(self) -> tuple[str, ...]:
        """Names of the studies that were approved here."""
        return tuple(sorted(path.parent.name for path in (self.root / "studies").glob("*/approval.json")))

    def chosen(self, study: str | None) -> str:
        """The study that a command is for: the one named, or else the only one approved here.

        Raises:
            PolicyRefused: none is approved. ConfigError: there are several.
        """
        if study is not None:
            return study
        approved = self.approved_studies()
        if not approved:
            raise PolicyRefused(
                "no study is approved here; approve one first with 'collegium-silo approve'", code="policy.not_approved"
            )
        if len(approved) > 1:
            raise ConfigError(
                f"there are {len(approved)} approved studies here; name one with --study", code="config.which_study"
            )
        return approved[0]


class StudyDirectory:
    """What a silo keeps of one study."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.study_file = root / "study.yaml"
        self.approval_file = root / "approval.json"
        self.key_file = root / "key"
        self.announcement = root / "announcement"
        self.model_file = root / "model"
        self.upload = root / "upload"
        self.sum = root / "sum"
        self.audit_file = root / "audit"
        self.snapshot = root / "snapshot"
        self.close_file = root / "close"
        self.halted = root / "halted"
        self.rolled_back = root / "rolled-back"
        self.seen_heads = root / "seen-heads"
        self.transformed = root / "transformed"
        self.weights_file = root / "start.safetensors"

    @property
    def weights(self) -> Path | None:
        """The file of public weights that was stored when the study was approved, if any was."""
        return self.weights_file if self.weights_file.exists() else None

    def make(self) -> None:
        """Create the folder."""
        make_folder(self.root)


def _checked(name: str, what: str) -> str:
    """A name that can be no other place: folders are made, and cleared, by it."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name[:40]}' is no name for a {what}; take 1 to 40 lower-case letters, digits, - and _, a letter first"
        )
    return name
