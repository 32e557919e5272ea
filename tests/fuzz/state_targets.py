"""What a silo and an aggregator keep in files of their own, which a damaged disk or an old copy may have changed."""

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from safetensors.numpy import save

from aggregator.storage.backup import MANIFEST, back_up, check
from aggregator.storage.store import StudyStore
from imaging.deidentification import folder as deidentification
from imaging.deidentification.pixels import review
from imaging.deidentification.pseudonyms import Pseudonyms, PseudonymTable
from imaging.errors import ImagingError
from imaging.networks import pretrained
from imaging.sources import pulling
from imaging.sources.catalogue import Catalogue
from privacy.channel.envelope import Signed
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.ledger import readings
from privacy.ledger.details import SideStore
from privacy.operations import live
from privacy.secagg.keygrant import KeyMaterial
from privacy.secagg.ranges import Ranges
from privacy.token.description import KeyReference
from privacy.update import UpdateLayout
from silo_node.approvals import approval
from silo_node.egress import log as egress
from silo_node.operations import stopping
from silo_node.rounds import snapshot
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.server_optimizer import OptimizerState
from silo_node.state import StudyDirectory
from silo_node.witnessing.known_heads import Known
from silo_node.witnessing.seen_heads import SeenHeads
from tests.fuzz.disk_targets import REFUSES, a_ledger, in_file
from tests.fuzz.label_targets import QUERY
from tests.fuzz.target import Target
from tests.privacy.studies import study

REFUSED_IMAGES = (ImagingError,)
LAYOUT = UpdateLayout((("weight", (3,)),), 4)
MODEL = GlobalModel(OptimizerState(np.ones(3), np.zeros(0), np.zeros(3), np.zeros(0), 2), Ranges((-3,)), 2, bytes(32))
PARAMS = CiphertextParams.choose(3, 1000)
DIGEST = "ab" * 32
STUDY = study()
SENT = {"time": "2026-03-01T00:00:00.000001Z", "class": "Submit", "bytes": 7, "study": DIGEST, "approval": ""}


def json_seed(*told: object) -> Callable[[], Iterator[bytes]]:
    """Some JSON."""
    return lambda: (json.dumps(one).encode() for one in told)


def placed(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """What reads a folder, on one in which a file has these bytes."""

    def parse(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return read(Path(folder))

    return parse


def file_of(name: str, make: Callable[[Path], object]) -> Callable[[], Iterator[bytes]]:
    """What a file has in a folder that was made so."""

    @cache
    def content() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            return (Path(folder) / name).read_bytes()

    return lambda: iter([content()])


def details(data: bytes) -> object:
    """Erasable details of a ledger's entry."""
    name = "cd" * 32
    with tempfile.TemporaryDirectory() as folder:
        store = SideStore(Path(folder))
        path = store._file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return store.get(name)


def noted(data: bytes) -> object:
    """A noted reading, in a file of the name that its bytes must have."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / readings.FOLDER / f"{hashlib.sha256(data).hexdigest()}.json"
        path.parent.mkdir()
        path.write_bytes(data)
        return readings.get(Path(folder), path.name)


def vault(data: bytes) -> None:
    """A round's secrets and held shares."""
    with tempfile.TemporaryDirectory() as folder:
        found = RoundVault(Path(folder), b"ctx")
        for name in ("secrets", "held", "shares"):
            (Path(folder) / name).write_bytes(data)
        for read in (found.secrets, found.held, partial(found.message, "shares")):
            with suppress(*REFUSES):
                read()


def seen_heads(folder: Path) -> object:
    """Heads of others' ledgers."""
    return SeenHeads(STUDY.roster, 1, StudyDirectory(folder), cast(Any, None))


def key(data: bytes) -> object:
    """The material of an epoch's key."""
    return KeyHolder.from_secret(PARAMS, KeyMaterial.from_bytes(data).secret)


def frozen(data: bytes) -> object:
    """A snapshot, once it was opened: of the size that was offered."""
    size = snapshot._size(2 * LAYOUT.parameters, 1)
    offer = SimpleNamespace(round_number=2, chain=bytes(32))
    return snapshot.model_of(bytearray(data[:size].ljust(size, b"\0")), cast(Any, offer), LAYOUT)


def database(path: Path) -> object:
    """An aggregator's study: opened, and asked for all that a start asks."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study.sqlite").write_bytes(path.read_bytes())
        with closing(StudyStore(Path(folder))) as store:
            found = store.round(1)
            return store.last_round(), found.get_set("u1"), list(found.all("sign")), list(found.uploads())


def a_database(folder: Path) -> None:
    """A study of one message and one frozen set, in one file."""
    with closing(StudyStore(folder)) as store:
        store.round(1).put("sign-1", Signed("sign", b"body", "north", bytes(64)))
        store.round(1).keep_sets({"u1": (1, 2, 3)})
    with closing(sqlite3.connect(folder / "study.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")


@cache
def a_backup() -> dict[str, bytes]:
    """The files of a backup of such a study."""
    with tempfile.TemporaryDirectory() as folder:
        state, copy = Path(folder) / "state", Path(folder) / "copy"
        (state / "studies/trial").mkdir(parents=True)
        a_database(state / "studies/trial")
        (state / "ledger").mkdir()
        for name, content in a_ledger().items():
            (state / "ledger" / name).write_bytes(content)
        back_up(state, copy, datetime(2026, 3, 1, tzinfo=UTC))
        return {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def backed_up(name: str, data: bytes) -> object:
    """A backup in which a file has these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for place, content in {**a_backup(), name: data}.items():
            path = Path(folder) / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return check(Path(folder))


def of_backup(name: str) -> Callable[[], Iterator[bytes]]:
    """A file of one."""
    return lambda: iter([a_backup()[name]])


def pseudonyms(path: Path) -> object:
    """A table of pseudonyms."""
    with closing(PseudonymTable(path)) as table:
        return table.patient("P"), table.uid("1.2"), table.days("P", 100)


def a_table(folder: Path) -> None:
    """One that was used."""
    with closing(PseudonymTable(folder / "x")) as table:
        table.patient("P")
        table.days("P", 100)
        table.keep()


def catalogue(path: Path) -> object:
    """The index of a folder."""
    (path.parent / "images").mkdir(exist_ok=True)
    with Catalogue(path, path.parent / "images", Pseudonyms(bytes(32))) as found:
        return found.scan(), list(found.select(QUERY))


def a_pull(folder: Path) -> None:
    """A pull of the same query that has found a series."""
    with closing(pulling._open(folder / "x", QUERY)) as state, state:
        state.execute("INSERT INTO series VALUES ('1.2.3', '1.2', 7, 0)")


def pull_state(path: Path) -> object:
    """How far a pull got."""
    with pulling._storage_errors(), closing(pulling._open(path, QUERY)) as state:
        return state.execute("SELECT series, study, told, done FROM series").fetchall()


def sheets(folder: Path) -> object:
    """A person's decision on sheets."""
    (folder / deidentification.FILES).mkdir()
    return review.decide(folder, "Ada", "accepted")


TARGETS = (
    Target("entry-details", details, REFUSES, json_seed({"details": {"a": 1}, "salt": "00" * 16})),
    Target("noted-reading", noted, REFUSES, json_seed({"what": "w", "by": "b", "time": "t", "nonce": "n"})),
    Target(
        "live-status",
        placed(live.FILE, live.read),
        REFUSES,
        json_seed({"said": {"round": 1}, "time": "2026-03-01T00:00:00+00:00", "process": {"pid": 1, "started": "1"}}),
    ),
    Target(
        "egress-log",
        placed("egress/000001.jsonl", lambda folder: list(egress.read(folder))),
        REFUSES,
        lambda: iter([json.dumps(SENT).encode() + b"\n"]),
    ),
    Target(
        "approval",
        placed("approval.json", lambda folder: approval.read(StudyDirectory(folder))),
        REFUSES,
        json_seed({"study_digest": DIGEST, "cohort": "chest", "by": "Ada"}),
    ),
    Target(
        "stop-request",
        placed(stopping.FILE, lambda folder: stopping._read(folder / stopping.FILE)),
        REFUSES,
        json_seed({"by": "Ada", "reason": "host", "time": "t"}),
    ),
    Target(
        "known-heads",
        placed("rolled-back", lambda folder: Known.load(StudyDirectory(folder))),
        REFUSES,
        json_seed({"heads": [{"party": "a", "size": 1, "root": DIGEST}], "closed": 1, "newest_round": 1, "opened": 1}),
    ),
    Target(
        "seen-heads",
        placed("seen-heads", seen_heads),
        REFUSES,
        json_seed({"heads": [[STUDY.roster.silos[1].identity, 3, DIGEST]]}),
    ),
    Target("round-secrets", vault, REFUSES, lambda: iter([bytes(96), bytes([1]) + bytes(64)])),
    Target("key-material", key, REFUSES, lambda: iter([bytes([1, 255] * (PARAMS.degree // 2)) + bytes(32)]), 8192),
    Target("snapshot-state", frozen, REFUSES, lambda: iter([b"".join(snapshot.state_of(MODEL))])),
    Target(
        "stored-model",
        partial(in_file, GlobalModel.load, "model"),
        REFUSES,
        file_of("model", lambda folder: MODEL.store(folder / "model")),
    ),
    Target(
        "starting-weights",
        lambda data: in_file(lambda path: pretrained.read(path, hashlib.sha256(data).hexdigest()), "x", data),
        REFUSED_IMAGES,
        lambda: iter([save({"a": np.ones((2, 3), np.float32), "b": np.ones(1, np.float16)})]),
    ),
    Target(
        "study-database",
        partial(in_file, database, "x"),
        REFUSES,
        file_of("study.sqlite", a_database),
        65536,
    ),
    *(
        Target(f"backup-{kind}", partial(backed_up, name), REFUSES, of_backup(name), 65536)
        for kind, name in (("list", MANIFEST), ("database", "studies/trial/study.sqlite"))
    ),
    Target("pseudonym-table", partial(in_file, pseudonyms, "x"), REFUSED_IMAGES, file_of("x", a_table), 16384),
    Target("catalogue", partial(in_file, catalogue, "x"), REFUSED_IMAGES, lambda: iter([b""]), 65536),
    Target("pull-state", partial(in_file, pull_state, "x"), REFUSED_IMAGES, file_of("x", a_pull), 65536),
    Target(
        "review-index",
        placed(f"{review.SHEETS}/{review.INDEX}", sheets),
        REFUSED_IMAGES,
        json_seed({"files": {}, "sheets": {}, "images": [], "not_shown": []}),
    ),
    Target(
        "token-key",
        lambda data: KeyReference.read(data, "tls.key"),
        REFUSES,
        json_seed(
            {
                "format": "collegium-token-key/1",
                "algorithm": "ed25519",
                "label": "north",
                "id": "00" * 16,
                "public_key": DIGEST,
            }
        ),
    ),
)
