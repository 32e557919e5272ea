import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pymerkle import InmemoryTree

from privacy.errors import CorruptState
from privacy.ledger.heads import note, proof
from privacy.ledger.store import Ledger

ORIGIN = "spiffe://demo/silo/alpha"


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def filled(ledger: Ledger, count: int) -> None:
    for number in range(count):
        ledger.append("round_opened", {"study_digest": "ab", "round": number})


def checkpoint(ledger: Ledger, key: Ed25519PrivateKey) -> str:
    return note.checkpoint(ledger.origin, *ledger.head(), key)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 13])
def test_every_entry_is_proven(ledger: Ledger, key: Ed25519PrivateKey, size: int) -> None:
    filled(ledger, size)
    for sequence in range(size):
        proven = proof.verify(proof.make(ledger.entries, sequence, checkpoint(ledger, key)), public(key))
        assert proven.entry == ledger.entries[sequence]
        assert proven.checkpoint == note.Checkpoint(ORIGIN, *ledger.head())


def test_a_stranger_checks_it_from_the_published_formats_alone(ledger: Ledger, key: Ed25519PrivateKey) -> None:
    # c2sp.org/tlog-proof, tlog-checkpoint and signed-note, word by word, with pymerkle for the tree.
    filled(ledger, 11)
    text = proof.make(ledger.entries, 6, checkpoint(ledger, key))
    magic, extra, index, *path = text.split("\n\n")[0].split("\n")
    assert (magic, index) == ("c2sp.org/tlog-proof@v1", "index 6")
    entry = base64.b64decode(extra.removeprefix("extra "))
    origin, size, root, blank, signature = text.split("\n\n", 1)[1].removesuffix("\n").split("\n")
    assert (origin, size, blank) == (ORIGIN, "11", "")
    dash, name, sealed = signature.split(" ")
    assert (dash, name) == ("—", ORIGIN)
    raw = base64.b64decode(sealed)
    assert raw[:4] == hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public(key)).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public(key)).verify(raw[4:], f"{origin}\n{size}\n{root}\n".encode())
    tree = InmemoryTree(algorithm="sha256")
    for one in ledger.entries:
        tree.append_entry(one.line())
    assert base64.b64decode(root) == tree.get_root()
    assert [base64.b64decode(node) for node in path] == tree.prove_inclusion(7, 11).path[1:]
    assert tree.get_leaf(7) == hashlib.sha256(b"\x00" + entry).digest()


def test_any_changed_character_is_found(ledger: Ledger, key: Ed25519PrivateKey) -> None:
    filled(ledger, 3)
    text = proof.make(ledger.entries, 1, checkpoint(ledger, key))
    for position in range(len(text)):
        changed = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
        with pytest.raises(CorruptState):
            proof.verify(changed, public(key))


def test_another_key_entry_or_tree_is_found(ledger: Ledger, key: Ed25519PrivateKey) -> None:
    filled(ledger, 4)
    text = proof.make(ledger.entries, 1, checkpoint(ledger, key))
    with pytest.raises(CorruptState, match="whose key you named did not sign it"):
        proof.verify(text, public(Ed25519PrivateKey.generate()))
    older = checkpoint(ledger, key)
    filled(ledger, 1)
    with pytest.raises(CorruptState, match="inclusion proof"):
        proof.verify(proof.make(ledger.entries, 1, older), public(key))
    other = base64.b64encode(ledger.entries[2].line()).decode()
    swapped = [f"extra {other}" if line.startswith("extra") else line for line in text.split("\n")]
    with pytest.raises(CorruptState):
        proof.verify("\n".join(swapped), public(key))


@pytest.mark.parametrize("text", ["", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\nindex 0\n\n", "x" * 300_000])
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(CorruptState, match="no proof"):
        proof.verify(text, bytes(32))


def test_cosignatures_of_others_are_passed_over_and_a_second_own_one_must_hold(
    ledger: Ledger, key: Ed25519PrivateKey
) -> None:
    filled(ledger, 2)
    signed = checkpoint(ledger, key)
    witnessed = signed + "— witness.example/w1 " + base64.b64encode(b"abcd" + bytes(72)).decode() + "\n"
    assert proof.verify(proof.make(ledger.entries, 0, witnessed), public(key)).checkpoint.size == 2
    own = base64.b64encode(note.key_id(ORIGIN, public(key)) + bytes(64)).decode()
    with pytest.raises(CorruptState, match="signature is wrong"):
        proof.verify(proof.make(ledger.entries, 0, f"{signed}— {ORIGIN} {own}\n"), public(key))


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\u2003b"])
def test_a_name_that_a_note_cannot_have(origin: str, key: Ed25519PrivateKey) -> None:
    with pytest.raises(ValueError, match="origin"):
        note.checkpoint(origin, 1, bytes(32), key)


@pytest.mark.parametrize("size", ["01", "-1", "1.0", "", "\u0661"])
def test_a_size_has_one_form(size: str, key: Ed25519PrivateKey) -> None:
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n"
    sealed = base64.b64encode(note.key_id(ORIGIN, public(key)) + key.sign(text.encode())).decode()
    with pytest.raises(CorruptState, match="form of a checkpoint"):
        note.read_checkpoint(f"{text}\n— {ORIGIN} {sealed}\n", public(key))


def test_the_checkpoint_of_an_empty_ledger(ledger: Ledger, key: Ed25519PrivateKey, folder: Path) -> None:
    assert note.read_checkpoint(checkpoint(ledger, key), public(key)) == note.Checkpoint(ORIGIN, *ledger.head())
