from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from compliance.ledgers import Reader, Tally, _paths
from privacy.errors import CorruptState
from privacy.ledger.reader import read
from privacy.ledger.store import Ledger
from privacy.ledger.tree import inclusion_proof, leaf_hash, root, verify_inclusion
from tests.compliance.evidence import Consortium


@given(st.integers(1, 40), st.data())
def test_paths_are_those_of_the_standard(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    numbers = data.draw(st.lists(st.integers(0, size - 1), max_size=5, unique=True))
    paths = _paths(leaves, numbers)
    assert paths == [tuple(node.hex() for node in inclusion_proof(leaves, number)) for number in numbers]


def test_every_proof_leads_to_the_head(trained: Consortium) -> None:
    folder = trained.root / "alpha" / "ledger"
    found = Reader().read(folder, "alpha")
    lines = (folder / "entries.jsonl").read_bytes().splitlines()
    assert [proof.kind for proof in found.proofs] == ["cohort", "approved", "reserved"]
    for proof in found.proofs:
        leaf, path = leaf_hash(lines[proof.sequence]), [bytes.fromhex(node) for node in proof.path]
        assert proof.leaf == leaf.hex()
        verify_inclusion(leaf, proof.sequence, found.size, path, found.root)
        with pytest.raises(CorruptState):
            verify_inclusion(leaf_hash(b"other"), proof.sequence, found.size, path, found.root)
    assert found.root == root([leaf_hash(line) for line in lines])


def test_rounds_are_folded_and_all_else_is_kept(trained: Consortium) -> None:
    folder = trained.root / "gamma" / "ledger"
    trained.write("gamma", "witnessed", study_digest="ab", round=1, heads=[])
    found, whole = Reader().read(folder, "gamma"), read(folder)
    digest = trained.study.digest().hex()
    assert found.tallies == {digest: Tally(opened=5, closed=3, abandoned=1, charged=5, finished=4)}
    assert [(charge.round, charge.spent, charge.ended) for charge in found.charges] == [
        (1, True, True), (2, True, True), (3, True, True), (4, True, True), (5, False, False),
    ]  # fmt: skip
    assert [entry.kind for entry in found.entries] == ["enrolled", "cohort", "approved", "closed", "release"]
    assert all(entry in whole.entries for entry in found.entries)
    assert sum(found.counts.values()) == found.size == whole.size
    assert found.counts["witnessed"] == 1
    assert (found.root, found.key, found.span) == (
        whole.root,
        whole.key,
        (whole.entries[0].time, whole.entries[-1].time),
    )


def test_what_was_spent_without_a_charge_is_seen(trained: Consortium) -> None:
    assert Reader().read(trained.root / "alpha" / "ledger", "alpha").reserved_first
    event = {"mechanism": "none", "unit": "patient", "steps": 1}
    trained.write("alpha", "spent", study_digest="ab", round=9, cohort="chest", event=event)
    assert not Reader().read(trained.root / "alpha" / "ledger", "alpha").reserved_first


def test_an_event_of_unknown_form_fails_the_ledger(trained: Consortium) -> None:
    event = {"mechanism": "magic", "unit": "patient", "steps": 1}
    trained.write("alpha", "reserved", study_digest="ab", round=9, cohort="chest", event=event)
    found = Reader().read(trained.root / "alpha" / "ledger", "alpha/ledger")
    assert "unknown or damaged form" in found.problem
    assert (found.party, found.role, found.entries, found.proofs) == ("alpha/ledger", "", (), ())


def test_an_empty_ledger_can_be_read(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "ledger", "spiffe://demo/silo/new", Ed25519PrivateKey.generate()).close()
    found = Reader().read(tmp_path / "ledger", "new")
    assert (found.size, found.span, found.proofs, found.role) == (0, None, (), "silo")
