"""From integers to masked frames and back: exact, the same in workers, and an altered sum is never opened."""

import functools
import os
import secrets
import time
from contextlib import nullcontext

import numpy as np
import pytest

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.adder import Adder
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.secagg import masked, masks
from privacy.secagg.mac import RoundMac
from privacy.secagg.masked import Prepared
from privacy.secagg.masks import MaskKeys

SILOS = 3
GROUP, CTX = secrets.token_bytes(32), secrets.token_bytes(32)
OWN = tuple(secrets.token_bytes(32) for _ in range(SILOS))
PAIRS = {(low, high): secrets.token_bytes(32) for high in range(SILOS) for low in range(high)}


@functools.cache
def keyholder(length: int) -> KeyHolder:
    return KeyHolder.generate(CiphertextParams.choose(SILOS, length))


class Round:
    """Three silos' uploads and their sum."""

    def __init__(self, length: int, processes: int = 1, *, ahead: bool = False) -> None:
        self.holder, self.length = keyholder(length), length
        self.params = self.holder.params
        self.mac = RoundMac(GROUP, CTX, self.params, length)
        self.vectors, self.seeds, self.tags = [], [], {}
        adder = Adder(self.params, length)
        self.uploads = []
        for silo in range(SILOS):
            values = np.random.default_rng(silo).integers(0, 2**16, length, dtype=np.uint16)
            plus = [PAIRS[silo, other] for other in range(silo + 1, SILOS)]
            keys = MaskKeys((OWN[silo], *plus), tuple(PAIRS[other, silo] for other in range(silo)))
            prepared = Prepared(self.holder, length, keys, processes) if ahead else nullcontext()
            with prepared as zeros:
                made = list(masked.protect(self.holder, values, keys, self.mac, processes, zeros))
            for index, frame in enumerate(made):
                assert frame.digest == frames.digest(frame.wire)
                adder.add(index, frame.wire)
            self.tags[silo + 1] = self.mac.tag(silo + 1, [frame.mac for frame in made])
            self.vectors.append(values)
            self.seeds.append(b"".join(frame.seeds for frame in made))
            self.uploads.append(made)
        self.sum = list(adder.sum_frames())

    def verify(self, processes: int = 1) -> None:
        digests = [frames.digest(frame) for frame in self.sum]
        masked.verify_sum(self.sum.__getitem__, digests, self.tags, self.mac, self.params, self.length, processes)

    def open(self, keys: MaskKeys, processes: int = 1) -> np.ndarray:
        return masked.open_sum(self.holder, self.sum.__getitem__, keys, self.seeds, self.length, processes)


@pytest.mark.parametrize("length", [1, 100_000, 400_000])
def test_the_sum_of_masked_uploads_is_exact(length: int) -> None:
    made = Round(length)
    made.verify()
    assert tuple(len(frame.wire) for frame in made.uploads[0]) == made.params.frame_sizes(length)
    opened = made.open(MaskKeys(OWN))
    assert np.array_equal(opened, np.sum(made.vectors, axis=0, dtype=np.int64))


def test_workers_change_nothing() -> None:
    made = Round(700_000, processes=2)
    made.verify(2)
    assert np.array_equal(made.open(MaskKeys(OWN), 2), np.sum(made.vectors, axis=0, dtype=np.int64))


@pytest.mark.parametrize(("length", "processes"), [(1, 1), (500_000, 1), (700_000, 2)])
def test_what_is_prepared_ahead_changes_nothing(length: int, processes: int) -> None:
    made = Round(length, processes, ahead=True)
    made.verify()
    assert np.array_equal(made.open(MaskKeys(OWN)), np.sum(made.vectors, axis=0, dtype=np.int64))


def test_what_was_prepared_serves_one_upload_of_the_same_masks() -> None:
    """Two vectors under the same randomness would show their difference."""
    holder, values, keys = keyholder(1_000), np.ones(1_000, np.uint16), MaskKeys(OWN[:1])
    mac = RoundMac(GROUP, CTX, holder.params, 1_000)
    with Prepared(holder, 1_000, keys) as prepared:
        with pytest.raises(RuntimeError, match="other masks"):
            list(masked.protect(holder, values, MaskKeys(OWN[1:2]), mac, prepared=prepared))
        (first,) = masked.protect(holder, values, keys, mac, prepared=prepared)
        with pytest.raises(RuntimeError):
            list(masked.protect(holder, values, keys, mac, prepared=prepared))
    assert np.array_equal(holder.open([unmasked(first.wire, holder)], [first.seeds], 1_000), values)


def unmasked(wire: bytes, holder: KeyHolder) -> bytes:
    words = frames.decode(wire, 1, holder.params)
    masks.subtract(words, MaskKeys(OWN[:1]), holder.params, 0)
    return frames.encode(words, holder.params)


def test_preparing_returns_at_once_and_can_be_given_up() -> None:
    began = time.monotonic()
    with Prepared(keyholder(10**6), 10**8, MaskKeys(OWN)) as prepared:
        pids = prepared._workers._pids
    assert time.monotonic() - began < 1
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_mask_that_is_left_hides_the_sum() -> None:
    made = Round(1_000)
    for keys in (MaskKeys(OWN[:2]), MaskKeys(OWN[1:]), MaskKeys(())):
        with pytest.raises(ProtocolError) as caught:
            made.open(keys)
        assert caught.value.code == "sum.refused"


def test_one_upload_alone_stays_hidden_from_who_holds_the_key() -> None:
    """What masks are for: the CKKS key and one upload do not give the update."""
    made = Round(1_000)
    made.sum, made.seeds = [made.uploads[0][0].wire], made.seeds[:1]
    for keys in (MaskKeys(()), MaskKeys(OWN[:1])):
        with pytest.raises(ProtocolError):
            made.open(keys)
    everything = MaskKeys((OWN[0], PAIRS[0, 1], PAIRS[0, 2]))
    assert np.array_equal(made.open(everything), made.vectors[0])


def test_an_altered_sum_fails_its_check() -> None:
    made = Round(150_000)
    made.verify()
    honest = list(made.sum)
    words = frames.decode(honest[0], made.params.ciphertexts(made.length), made.params)
    words[0, 0, 5] = (words[0, 0, 5] + np.uint64(1)) % np.uint64(made.params.primes[0])
    made.sum[0] = frames.encode(words, made.params)
    with pytest.raises(ProtocolError) as caught:
        made.verify()
    assert caught.value.code == "sum.refused"
    digests = [frames.digest(frame) for frame in honest]
    with pytest.raises(ProtocolError) as caught:
        masked.verify_sum(made.sum.__getitem__, digests, made.tags, made.mac, made.params, made.length)
    assert caught.value.code == "sum.refused"
