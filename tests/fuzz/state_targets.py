"""What a silo keeps in files of its own, which a damaged disk or an old copy may have changed."""

import hashlib
import json
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from safetensors.numpy import save

from imaging.errors import ImagingError
from imaging.networks import pretrained
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
from tests.fuzz.disk_targets import REFUSES
from tests.fuzz.files import file_of, in_file, json_seed, placed
from tests.fuzz.target import Target
from tests.privacy.studies import study

REFUSED_IMAGES = (ImagingError,)
LAYOUT = UpdateLayout((("weight", (3,)),), 4)
MODEL = GlobalModel(OptimizerState(np.ones(3), np.zeros(0), np.zeros(3), np.zeros(0), 2), Ranges((-3,)), 2, bytes(32))
PARAMS = CiphertextParams.choose(3, 1000)
DIGEST = "ab" * 32
STUDY = study()
SENT = {"time": "2026-03-01T00:00:00.000001Z", "class": "Submit", "bytes": 7, "study": DIGEST, "approval": ""}


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
