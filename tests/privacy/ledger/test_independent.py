"""Our tree against pymerkle, which shares no line with it: equal roots, and each verifies the other's proofs."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, InvalidProof
from pymerkle import verify_consistency as their_consistency
from pymerkle import verify_inclusion as their_inclusion

from privacy.ledger.store import Ledger
from privacy.ledger.tree import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

MOST = 300


@functools.cache
def theirs() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(MOST):
        tree.append_entry(data(number))
    return tree


def data(number: int) -> bytes:
    return b"entry %d" % number


LEAVES = [leaf_hash(data(number)) for number in range(MOST)]


def test_leaves_and_roots_are_equal_at_every_size() -> None:
    frontier = Frontier()
    for size in range(1, MOST + 1):
        frontier.append(LEAVES[size - 1])
        assert theirs().get_leaf(size) == LEAVES[size - 1]
        assert frontier.root() == theirs().get_root(size)


@settings(max_examples=60)
@given(st.data(), st.integers(1, MOST))
def test_each_verifies_the_others_inclusion_proofs(draw: st.DataObject, size: int) -> None:
    index = draw.draw(st.integers(0, size - 1))
    proof = theirs().prove_inclusion(index + 1, size)
    assert tuple(proof.path[1:]) == inclusion_proof(LEAVES[:size], index)
    verify_inclusion(LEAVES[index], index, size, proof.path[1:], theirs().get_root(size))
    proof.path[1:] = inclusion_proof(LEAVES[:size], index)
    their_inclusion(LEAVES[index], root(LEAVES[:size]), proof, index=index + 1, size=size)
    with pytest.raises(InvalidProof):
        their_inclusion(leaf_hash(b"another"), root(LEAVES[:size]), proof)


@settings(max_examples=60)
@given(st.data(), st.integers(2, MOST))
def test_they_agree_on_consistency(draw: st.DataObject, size: int) -> None:
    old = draw.draw(st.integers(1, size - 1))
    before, after = theirs().get_root(old), theirs().get_root(size)
    verify_consistency(old, before, size, after, consistency_proof(LEAVES[:size], old))
    their_consistency(root(LEAVES[:old]), root(LEAVES[:size]), theirs().prove_consistency(old, size))


def test_a_real_ledgers_head_is_the_root_that_they_compute(ledger: Ledger) -> None:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(11):
        tree.append_entry(ledger.append("round_opened", {"study_digest": "ab", "round": number}).line())
        assert ledger.head() == (number + 1, tree.get_root())
