"""A round's secrets are fresh and hidden; both sides of a pair find the same key, and nobody else does."""

import pickle

import pytest

from privacy.secagg.derive import derive
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.round_keys import RoundSecrets, b_commitment, pair_key, pair_seed, self_key, upload_keys

CTX, SET = b"c" * 32, b"s" * 32


def test_secrets_are_fresh_hidden_and_restored() -> None:
    one, other = RoundSecrets.generate(), RoundSecrets.generate()
    assert len({one.b, one.k, one.c, other.b, other.k, other.c}) == 6
    assert RoundSecrets.from_bytes(one.to_bytes()) == one
    assert repr(one) == "RoundSecrets()"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(one)
    for bad in (b"", bytes(95), bytes(97)):
        with pytest.raises(ValueError, match="96 bytes"):
            RoundSecrets.from_bytes(bad)
    with pytest.raises(ValueError, match="32 bytes"):
        RoundSecrets(b"short", one.k, one.c)


def test_public_keys_are_those_of_the_seeds() -> None:
    secret = RoundSecrets.generate()
    assert secret.key_c.public_key == HybridKey(secret.c).public_key
    assert secret.key_s.public_key == HybridKey(secret.k).public_key


def test_both_sides_of_a_pair_agree() -> None:
    low, high = RoundSecrets.generate(), RoundSecrets.generate()
    to_high, to_low = pair_seed(low.k, CTX, 5), pair_seed(high.k, CTX, 2)
    key = pair_key(SET, 2, 5, to_high, to_low)
    assert key == pair_key(SET, 5, 2, to_low, to_high)
    assert key == derive(to_high + to_low, SET, "mask", 2, 5)
    others = {
        pair_key(b"t" * 32, 2, 5, to_high, to_low),
        pair_key(SET, 2, 6, to_high, to_low),
        pair_key(SET, 2, 5, to_low, to_high),
        pair_key(SET, 2, 5, to_high, bytes(32)),
    }
    assert key not in others
    assert len(others) == 4


def test_seeds_and_self_keys_follow_the_protocol() -> None:
    secret = bytes(range(32))
    assert pair_seed(secret, CTX, 3) == derive(secret, CTX, "r", 3)
    assert self_key(secret, CTX, 3) == derive(secret, CTX, "self", 3)
    assert len({pair_seed(secret, ctx, peer) for ctx in (CTX, SET) for peer in (1, 2)}) == 4
    assert len({b_commitment(ctx, silo, secret) for ctx in (CTX, SET) for silo in (1, 2)}) == 4


def test_later_silos_are_added_and_earlier_subtracted() -> None:
    secret = RoundSecrets.generate()
    received = {silo: bytes([silo]) * 32 for silo in (1, 2, 3, 4)}
    keys = upload_keys(secret, CTX, SET, 3, received)
    pair = {peer: pair_key(SET, 3, peer, pair_seed(secret.k, CTX, peer), received[peer]) for peer in (1, 2, 4)}
    assert keys.plus == (self_key(secret.b, CTX, 3), pair[4])
    assert keys.minus == (pair[1], pair[2])
