"""Masks are added modulo each prime, exactly, and what is added can be taken away."""

import secrets

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from privacy.he import frames
from privacy.he.params import PRIMES, CiphertextParams
from privacy.secagg import masks, prg
from privacy.secagg.masks import Mask, MaskKeys

PARAMS = CiphertextParams(8, (PRIMES[4096, 50][0], 562949953421381), 16, 8)


def keys(plus: int, minus: int) -> MaskKeys:
    drawn = tuple(secrets.token_bytes(32) for _ in range(plus + minus))
    return MaskKeys(drawn[:plus], drawn[plus:])


def words(count: int) -> NDArray[np.uint64]:
    return prg.residues(secrets.token_bytes(32), PARAMS.primes, PARAMS.degree, 0, count)


@given(plus=st.integers(0, 9), minus=st.integers(0, 9), count=st.integers(1, 4), first=st.integers(0, 1000))
@settings(max_examples=30)
def test_is_the_sum_in_big_integers(plus: int, minus: int, count: int, first: int) -> None:
    chosen, plain = keys(plus, minus), words(count)
    masked = plain.copy()
    masks.add(masked, chosen, PARAMS, first)
    total = plain.astype(object)
    for key in chosen.plus:
        total = total + Mask(key, PARAMS).words(first, count).astype(object)
    for key in chosen.minus:
        total = total - Mask(key, PARAMS).words(first, count).astype(object)
    assert masked.tolist() == (total % frames.moduli(PARAMS).astype(object)).tolist()
    masks.subtract(masked, chosen, PARAMS, first)
    assert np.array_equal(masked, plain)


@given(silos=st.integers(2, 8), cut=st.integers(1, 4))
@settings(max_examples=10)
def test_pair_masks_cancel_frame_by_frame(silos: int, cut: int) -> None:
    pair = {(low, high): secrets.token_bytes(32) for high in range(silos) for low in range(high)}
    plain = [words(5) for _ in range(silos)]
    total = np.zeros_like(plain[0])
    for silo, own in enumerate(plain):
        plus = tuple(pair[silo, other] for other in range(silo + 1, silos))
        minus = tuple(pair[other, silo] for other in range(silo))
        masked = own.copy()
        for first in range(0, 5, cut):
            masks.add(masked[first : first + cut], MaskKeys(plus, minus), PARAMS, first)
        assert not np.array_equal(masked, own)
        total = (total + masked) % frames.moduli(PARAMS)
    assert np.array_equal(total, sum(plain) % frames.moduli(PARAMS))


def test_the_extremes_do_not_wrap() -> None:
    """As many masks as 64 silos can need, on words at both ends."""
    chosen = keys(64, 1024)
    for start in (0, 1):
        plain = np.zeros((1, 2, 8), np.uint64) + (frames.moduli(PARAMS) - np.uint64(1)) * np.uint64(start)
        masked = plain.copy()
        masks.add(masked, chosen, PARAMS, 3)
        assert (masked < frames.moduli(PARAMS)).all()
        masks.subtract(masked, chosen, PARAMS, 3)
        assert np.array_equal(masked, plain)


def test_a_masked_word_says_nothing_of_the_word() -> None:
    """Uniform whatever the plaintext: zero and the largest word give the same distribution."""
    large = CiphertextParams(4096, PRIMES[4096, 50], 16, 8)
    for plain in (0, large.primes[0] - 1):
        masked = np.full((8, 1, 4096), plain, np.uint64)
        masks.add(masked, keys(1, 1), large, 0)
        counts = np.bincount((masked >> np.uint64(46)).astype(np.int64).ravel(), minlength=16)
        expected = masked.size / 16
        assert float(((counts - expected) ** 2 / expected).sum()) < 50.0


def test_refuses_other_shapes_and_keys() -> None:
    with pytest.raises(ValueError, match="shape"):
        masks.add(np.zeros((1, 1, 8), np.uint64), keys(1, 0), PARAMS, 0)
    with pytest.raises(ValueError, match="shape"):
        masks.add(np.zeros((1, 2, 8), np.int64), keys(1, 0), PARAMS, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contiguous"):
        masks.add(np.zeros((4, 2, 8), np.uint64)[::2], keys(1, 0), PARAMS, 0)
    with pytest.raises(ValueError, match="32 bytes"):
        MaskKeys((b"short",))
    with pytest.raises(ValueError, match="its own key"):
        MaskKeys((bytes(32),), (bytes(32),))
    with pytest.raises(ValueError, match="at most"):
        keys(8193, 0)


def test_keys_are_not_shown() -> None:
    chosen = keys(1, 1)
    assert repr(chosen) == "MaskKeys()"
