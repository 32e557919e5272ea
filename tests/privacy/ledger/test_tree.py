import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import CorruptState
from privacy.ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots that Certificate Transparency implementations share for RFC 6962 / RFC 9162 trees.
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]


def naive(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def numbered(count: int) -> list[bytes]:
    return [leaf_hash(bytes([i])) for i in range(count)]


def test_known_roots() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root([]) == EMPTY_ROOT
    for size, expected in enumerate(ROOTS, start=1):
        assert root(LEAVES[:size]).hex() == expected


def test_proofs_of_the_example_in_rfc_9162_section_2_1_5() -> None:
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k = node_hash(g, h)
    assert inclusion_proof(LEAVES[:7], 0) == (b, h, node_hash(i, j))
    assert inclusion_proof(LEAVES[:7], 3) == (c, g, node_hash(i, j))
    assert inclusion_proof(LEAVES[:7], 4) == (f, j, k)
    assert inclusion_proof(LEAVES[:7], 6) == (i, k)
    assert consistency_proof(LEAVES[:7], 3) == (c, d, g, node_hash(i, j))
    assert consistency_proof(LEAVES[:7], 4) == (node_hash(i, j),)
    assert consistency_proof(LEAVES[:7], 6) == (i, j, k)


@given(st.integers(0, 130))
def test_the_frontier_is_the_definition(size: int) -> None:
    leaves = numbered(size)
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    assert frontier.size == size
    assert frontier.root() == root(leaves) == naive(leaves)


def test_a_copy_grows_on_its_own() -> None:
    frontier = Frontier()
    frontier.append(LEAVES[0])
    twin = frontier.copy()
    twin.append(LEAVES[1])
    assert (frontier.size, frontier.root()) == (1, LEAVES[0])
    assert twin.root().hex() == ROOTS[1]


@given(st.data(), st.integers(1, 70))
def test_inclusion_proofs_verify_and_nothing_else_does(data: st.DataObject, size: int) -> None:
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    verify_inclusion(leaves[index], index, size, proof, naive(leaves))
    for leaf, position, path in [
        (leaf_hash(b"another"), index, proof),
        (leaves[index], index, (*proof, leaves[0])),
        (leaves[index], size, proof),
        *([(leaves[index], index, proof[:-1])] if proof else []),
        *([(leaves[index], (index + 1) % size, proof)] if size > 1 else []),
    ]:
        with pytest.raises(CorruptState):
            verify_inclusion(leaf, position, size, path, naive(leaves))


@given(st.data(), st.integers(1, 70))
def test_consistency_proofs_verify_and_nothing_else_does(data: st.DataObject, size: int) -> None:
    leaves = numbered(size)
    old = data.draw(st.integers(1, size))
    proof = consistency_proof(leaves, old)
    new_root = naive(leaves)
    verify_consistency(old, naive(leaves[:old]), size, new_root, proof)
    rewritten = naive([leaf_hash(b"rewritten"), *leaves[1:old]])
    for old_root, path in [
        (rewritten, proof),
        (naive(leaves[:old]), (*proof, leaves[0])),
        *([(naive(leaves[:old]), proof[:-1])] if proof else []),
    ]:
        with pytest.raises(CorruptState):
            verify_consistency(old, old_root, size, new_root, path)
    with pytest.raises(CorruptState):
        verify_consistency(size, new_root, old, naive(leaves[:old]), proof) if old < size else verify_consistency(
            0, EMPTY_ROOT, size, new_root, proof
        )


def test_there_is_no_proof_of_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(LEAVES, 8)
    with pytest.raises(ValueError, match="older tree"):
        consistency_proof(LEAVES, 0)
