"""The aggregator holds nothing that opens an update, and nothing of what it stores gives one away (promise P1).

A whole study is run by real agents against the real command in a process where torch, tenseal and all code that opens
ciphertexts cannot be imported. Then every byte below its state directory is searched.
"""

import base64
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aggregator.rounds.intake import REPLAYED_ROUNDS
from privacy.channel.envelope import Signed
from privacy.he.keyholder import Encryption, KeyHolder
from privacy.secagg.held_shares import HeldShares
from privacy.secagg.keygrant import KeyMaterial
from privacy.secagg.round_keys import RoundSecrets
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.round_vault import RoundVault
from tests.architecture.served import BLOCKED, modules_of, served
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all
from tests.stored import anywhere

PARAMETERS = 9_000
"""More than one ciphertext."""
COHORT = "oncology-ward-7"
PATIENT = "Katharina^Musterfrau"

Needles = dict[str, list[bytes]]
WHOLE_IN_A_PAGE = 400
"""Bytes of a value that SQLite certainly keeps in one piece: pages have 4,096, and rows here a few values."""
SEPARATOR = os.urandom(32)
"""Between two files: what is searched for is in neither half of it."""


def spellings(secret: bytes) -> list[bytes]:
    """A byte string as it could be written down."""
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)[:-4]]


def pieces(values: NDArray[np.generic], size: int) -> list[bytes]:
    """Runs of `size` neighbouring values that are no mere constant, in both byte orders."""
    runs = [values[start : start + size] for start in range(0, values.size - size + 1, size)]
    kept = [run for run in runs if len(set(run.tolist())) == size]
    return [form for run in kept for form in (run.tobytes(), run.byteswap().tobytes())]


def found(needles: Needles, root: Path) -> set[str]:
    """Which of the secrets are somewhere below `root`, at any offset of any file or of any value in a database.

    Each form has at least eight bytes; where its first eight are, the rest is compared.
    """
    contents = [path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()]
    contents += {value for path in root.rglob("study.sqlite") for value in values(path)}
    assert contents, "there is nothing to search"
    whole = SEPARATOR.join([*contents, b""])
    by_start: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
    for name, form in ((name, form) for name, forms in needles.items() for form in forms):
        by_start[int.from_bytes(form[:8], "little")].append((name, form))
    starts = np.array(sorted(by_start), np.uint64)
    seen = set()
    for offset in range(8):
        words = np.frombuffer(whole, "<u8", (len(whole) - offset) // 8, offset)
        for at in np.flatnonzero(np.isin(words, starts)).tolist():
            alike = by_start[int(words[at])]
            seen.update(name for name, form in alike if name not in seen and whole.startswith(form, 8 * at + offset))
    return seen


def values(database: Path) -> Iterator[bytes]:
    """Every long value in a database, whole: its pages hold these in parts, the short ones as they are."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                plain = (value if isinstance(value, bytes) else str(value).encode() for value in row)
                yield from (value for value in plain if len(value) > WHOLE_IN_A_PAGE)


class Study:
    """A finished study: where the aggregator kept it, and everything that only silos may know."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        protected: list[NDArray[np.uint16]] = []
        round_secrets: list[bytes] = []
        shares: list[bytes] = []
        encrypt, keep_secrets, keep_held = KeyHolder.encrypt, RoundVault.keep_secrets, RoundVault.keep_held

        def encrypting(
            holder: KeyHolder, values: NDArray[np.uint16], zeros: Sequence[NDArray[np.uint8]] = ()
        ) -> Encryption:
            protected.append(values.copy())
            return encrypt(holder, values, zeros)

        def keeping_secrets(vault: RoundVault, made: RoundSecrets) -> None:
            round_secrets.extend((made.b, made.k, made.c))
            keep_secrets(vault, made)

        def keeping_held(vault: RoundVault, held: HeldShares) -> None:
            shares.extend(share for pair in held.by_owner.values() for share in pair)
            keep_held(vault, held)

        monkeypatch.setattr(KeyHolder, "encrypt", encrypting)
        monkeypatch.setattr(RoundVault, "keep_secrets", keeping_secrets)
        monkeypatch.setattr(RoundVault, "keep_held", keeping_held)
        federation = Federation(folder, Consortium(folder), silos=4, parameters=PARAMETERS)
        self.hub = federation.consortium.state("hub")
        with served(federation) as aggregator:
            agents = [federation.agent(index, aggregator.port, cohort=COHORT) for index in (1, 2, 3, 4)]
            for agent in agents:
                agent.progress.say("loading", 0, made_up_patient=PATIENT)
            withhold_closes(agents[-1])
            self.results = run_all(agents)
            assert aggregator.process.poll() is None
        self.silo = federation.folder / "silo-1"
        material = KeyMaterial.from_bytes((self.silo / "studies" / "trial" / "key").read_bytes())
        updates = [agent.learner.update(number) for agent in agents for number in (1, 2)]
        updates += [weights for agent in agents for weights in agent.learner.seen[1:]]
        updates += [model.optimizer.weights for model in self.results if isinstance(model, GlobalModel)]
        self.uploads = len(protected)
        self.needles: Needles = {
            "ckks secret": pieces_of_secret(material.secret),
            "group secret": spellings(material.group_secret),
            "round secrets": [form for secret in round_secrets for form in spellings(secret)],
            "shares of round secrets": [form for share in shares for form in spellings(share)],
            "quantised updates": [piece for values in protected for piece in pieces(values, 8)],
            "updates and weights, float64": [piece for vector in updates for piece in pieces(vector, 16)],
            "updates and weights, float32": [
                piece for vector in updates for piece in pieces(vector.astype(np.float32), 16)
            ],
            "patient": [*spellings(PATIENT.encode()), b"Musterfrau"],
            "cohort": [COHORT.encode()],
        }


def withhold_closes(agent: Agent) -> None:
    """Let one silo never report: the aggregator then keeps the frames it keeps at most, which the search sees."""
    submit = agent.client.submit

    def without_closes(message: Signed) -> None:
        if message.kind != "close":
            submit(message)

    agent.client.submit = without_closes  # type: ignore[method-assign]


def pieces_of_secret(secret: bytes) -> list[bytes]:
    """Every 64 coefficients of the ternary secret: as kept, two bits each, and as residues modulo 256."""
    ternary = np.frombuffer(secret, np.int8)
    packed = np.packbits(np.unpackbits((ternary & 3).astype(np.uint8)[:, None], axis=1)[:, 6:].reshape(-1)).tobytes()
    runs = [secret[start : start + 64] for start in range(0, len(secret), 64)]
    return runs + [run.hex().encode() for run in runs] + [packed[start : start + 32] for start in range(0, 1024, 32)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Study(tmp_path_factory.mktemp("federation"), monkeypatch)


def test_the_aggregator_runs_a_study_without_anything_that_opens_or_trains(finished: Study) -> None:
    assert [type(result) for result in finished.results] == [GlobalModel] * 4
    assert finished.uploads == 12
    assert len(anywhere(finished.hub, "rounds/*/upload-*/frame-*")) == 4 * REPLAYED_ROUNDS


def test_nothing_that_it_stored_is_secret(finished: Study) -> None:
    assert found(finished.needles, finished.hub) == set()


def test_the_search_finds_what_a_silo_stores(finished: Study) -> None:
    kept = {"ckks secret", "group secret", "updates and weights, float64", "patient", "cohort"}
    assert found(finished.needles, finished.silo) - {"updates and weights, float32"} == kept


def test_the_search_finds_every_secret_that_is_planted(finished: Study, tmp_path: Path) -> None:
    for name, forms in finished.needles.items():
        assert forms, name
        for form in (forms[0], forms[len(forms) // 2], forms[-1]):
            (tmp_path / "file").write_bytes(os.urandom(4001) + form + os.urandom(977))
            assert name in found({name: forms}, tmp_path)


def test_the_search_reads_hidden_and_nested_files(tmp_path: Path) -> None:
    hidden = tmp_path / "studies" / ".hidden"
    hidden.mkdir(parents=True)
    (hidden / ".frame-0").write_bytes(b"xx" + PATIENT.encode())
    assert found({"patient": [PATIENT.encode()]}, tmp_path) == {"patient"}


def test_the_command_imports_nothing_of_what_is_blocked() -> None:
    loaded = modules_of("import aggregator.app")
    assert {
        name for name in loaded for blocked in BLOCKED if name == blocked or name.startswith(blocked + ".")
    } == set()


def test_the_block_itself_works(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path))
    with pytest.raises(RuntimeError, match="blocked: numpy"), served(federation, ("numpy",)):
        pass
