"""A witness cosigns a head only if it extends the last one, and forgets none; who cosigned is what the roster says."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.channel import envelope
from privacy.errors import CorruptState
from privacy.ledger.heads import cosigner, note
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import Party, Shelf, verify
from privacy.ledger.heads.published import Published
from privacy.ledger.heads.watch import Watch
from privacy.ledger.store import Ledger
from privacy.ledger.tree import consistency_proof, leaf_hash, root

OWNER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
OWNER = Party("spiffe://net/silo/north", OWNER_KEY.public_key().public_bytes_raw())
KEYS = CosigningKeys(
    "spiffe://net/silo/south",
    Ed25519PrivateKey.from_private_bytes(b"w" * 32),
    MLDSA44PrivateKey.from_seed_bytes(b"w" * 32),
)
WITNESS = Party(KEYS.name, KEYS.public().ed25519)
STATEMENT = cosigner.state(KEYS)
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]
OTHER = [leaf_hash(b"other"), *LEAVES[1:]]


def shown(size: int, leaves: Sequence[bytes] = LEAVES, key: Ed25519PrivateKey = OWNER_KEY, uri: str = OWNER.uri) -> str:
    return note.checkpoint(uri, size, root(leaves[:size]), key)


def proof(old: int, new: int, leaves: Sequence[bytes] = LEAVES) -> tuple[bytes, ...]:
    return consistency_proof(leaves[:new], old)


def cosign(watch: Watch, text: str, nodes: Sequence[bytes] | None = None, at: int = 5) -> str:
    return watch.cosign(OWNER.uri, OWNER.identity, text, nodes, at)


def code_of(watch: Watch, text: str, nodes: Sequence[bytes] | None = None) -> str:
    with pytest.raises(CorruptState) as caught:
        cosign(watch, text, nodes)
    return caught.value.code


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5, unique=True))
def test_a_growing_ledger_is_cosigned_and_each_head_is_remembered(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder, held = tmp_path_factory.mktemp("watch"), 0
    for at, size in enumerate(sorted(sizes), start=1):
        nodes = proof(held, size) if held else None
        cosigned = cosign(Watch(folder, KEYS), shown(size), nodes, at)  # each time as after a restart
        found = verify(cosigned, STATEMENT, OWNER, WITNESS)
        assert (found.checkpoint.size, found.witness, found.at) == (size, WITNESS.uri, at)
        kept = Watch(folder, KEYS).held(OWNER.uri, OWNER.identity)
        assert kept == found.checkpoint
        held = size


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    made = Watch(tmp_path, KEYS)
    cosign(made, shown(20))
    return made


def test_what_does_not_extend_it_is_refused(watch: Watch, tmp_path: Path) -> None:
    before = watch.note(OWNER.uri)
    assert code_of(watch, shown(19), proof(19, 20)) == "ledger.rolled_back"
    assert code_of(watch, shown(30)) == "ledger.unproven"
    assert code_of(watch, shown(30), proof(19, 30)) == "ledger.proof"
    assert code_of(watch, shown(30), proof(20, 31)) == "ledger.proof"
    assert code_of(watch, shown(30, OTHER), proof(20, 30, OTHER)) == "ledger.proof"
    assert code_of(watch, shown(30, key=KEYS.ed25519), proof(20, 30)) == "ledger.proof"
    assert code_of(watch, shown(30, uri="spiffe://net/silo/west"), proof(20, 30)) == "ledger.proof"
    assert code_of(watch, shown(30) + "\u2014 x " + "A" * 1024 + "\n", proof(20, 30)) == "ledger.proof"
    assert code_of(watch, "nothing") == "ledger.proof"
    assert not list(tmp_path.glob("seen/*.fork"))
    assert code_of(watch, shown(20, OTHER)) == "ledger.forked"
    assert watch.note(OWNER.uri) == before
    # The second head is proof for everybody: the owner signed both.
    kept = (tmp_path / "seen" / "silo-north.fork").read_text()
    assert note.read_checkpoint(kept, OWNER.identity).size == 20
    cosign(watch, shown(30), proof(20, 30))


def test_the_same_head_is_not_cosigned_twice(watch: Watch) -> None:
    before = watch.note(OWNER.uri)
    assert cosign(watch, shown(20), at=99) == before == watch.note(OWNER.uri)


def test_a_ledger_of_no_entry_is_not_cosigned(tmp_path: Path) -> None:
    assert code_of(Watch(tmp_path, KEYS), shown(0)) == "ledger.proof"


def test_a_damaged_memory_cosigns_nothing(watch: Watch, tmp_path: Path) -> None:
    path = tmp_path / "seen" / "silo-north.note"
    path.write_bytes(path.read_bytes().replace(b"\n20\n", b"\n10\n"))
    assert code_of(watch, shown(30), proof(10, 30)) == "ledger.seen"


# ---- who cosigned


def test_a_statement_is_an_envelope_that_the_roster_verifies() -> None:
    said = json.loads(STATEMENT)
    body = STATEMENT.replace(b',"signature":"' + said["signature"].encode() + b'"', b"")
    signed = envelope.Signed("cosigner-key", body, "south", bytes.fromhex(said["signature"]))
    assert envelope.verify(signed, WITNESS.identity, "cosigner-key") == body
    assert cosigner.stated(STATEMENT, WITNESS.uri, WITNESS.identity) == KEYS.public()


@pytest.mark.parametrize(
    ("statement", "name", "identity"),
    [
        (STATEMENT, OWNER.uri, WITNESS.identity),
        (STATEMENT, WITNESS.uri, OWNER.identity),
        (STATEMENT.replace(b"south", b"north"), OWNER.uri, WITNESS.identity),
        (STATEMENT.replace(b'"ml_dsa_44":"', b'"ml_dsa_44":"00'), WITNESS.uri, WITNESS.identity),
        (STATEMENT + b" ", WITNESS.uri, WITNESS.identity),
        (STATEMENT.replace(b"{", b'{"a":1,', 1), WITNESS.uri, WITNESS.identity),
        (b"[]", WITNESS.uri, WITNESS.identity),
        (b"{}", WITNESS.uri, WITNESS.identity),
        (b"[" * 4000, WITNESS.uri, WITNESS.identity),
        (b"9" * 4097, WITNESS.uri, WITNESS.identity),
        (b"\xff", WITNESS.uri, WITNESS.identity),
    ],
)
def test_a_statement_of_another_party_or_form_is_refused(statement: bytes, name: str, identity: bytes) -> None:
    with pytest.raises(CorruptState) as caught:
        cosigner.stated(statement, name, identity)
    assert caught.value.code == "ledger.cosigner"


def test_a_cosignature_without_its_owner_or_witness_is_refused(watch: Watch) -> None:
    cosigned = watch.note(OWNER.uri) or ""
    other = CosigningKeys(KEYS.name, KEYS.ed25519, MLDSA44PrivateKey.generate())
    for text, statement, owner, witness in (
        (cosigned, cosigner.state(other), OWNER, WITNESS),
        (cosigned, STATEMENT, Party("spiffe://net/silo/west", OWNER.identity), WITNESS),
        (cosigned, STATEMENT, WITNESS, WITNESS),
        (cosigned, STATEMENT, OWNER, OWNER),
        (shown(20), STATEMENT, OWNER, WITNESS),
        (cosigned + "\n" * 8192, STATEMENT, OWNER, WITNESS),
        (cosigned.rsplit("\u2014", 1)[0], STATEMENT, OWNER, WITNESS),
    ):
        with pytest.raises(CorruptState):
            verify(text, statement, owner, witness)


def test_a_shelf_keeps_the_newest_that_holds(watch: Watch, tmp_path: Path) -> None:
    shelf, old = Shelf(tmp_path, OWNER), watch.note(OWNER.uri) or ""
    assert shelf.size(WITNESS) == 0
    shelf.keep(old, STATEMENT, WITNESS)
    new = cosign(watch, shown(30), proof(20, 30))
    shelf.keep(new, STATEMENT, WITNESS)
    shelf.keep(old, STATEMENT, WITNESS)
    assert shelf.size(WITNESS) == 30
    (tmp_path / "cosigned" / "silo-south.note").write_text(new.replace("\n30\n", "\n31\n"))
    assert shelf.size(WITNESS) == 0
    shelf.keep(old, STATEMENT, WITNESS)
    assert shelf.size(WITNESS) == 20


def test_a_ledger_shows_its_head_with_proofs_from_older_ones(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger", OWNER.uri, OWNER_KEY) as ledger:
        published, watch = Published(ledger, OWNER_KEY), Watch(tmp_path / "witness", KEYS)
        for number in range(5):
            for _ in range(number + 1):
                ledger.append("incident", {"code": "made.up", "detail": "x"})
            held = watch.held(OWNER.uri, OWNER.identity)
            size = 0 if held is None else held.size
            head = published.head()
            assert (head.size, head.root) == ledger.head()
            assert published.root_at(size) == (held.root if held else root([]))
            cosign(watch, published.note(), published.proof(size))
        assert published.proof(head.size) is published.proof(0) is published.root_at(head.size + 1) is None
