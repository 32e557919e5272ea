"""The MAC accepts the sum of exactly the accepted uploads and nothing else; its arithmetic is exact."""

import math
import pickle
import secrets
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.params import PRIMES, CiphertextParams
from privacy.secagg import prg
from privacy.secagg.derive import derive, group_key
from privacy.secagg.mac import COPIES, RoundMac

GROUP, CTX = b"g" * 32, b"c" * 32
LARGE = CiphertextParams(4096, PRIMES[4096, 50], 16, 8)
LENGTH = LARGE.values_per_ciphertext * (LARGE.ciphertexts_per_frame + 2)
"""One full frame and one short one."""

Upload = list[NDArray[np.uint64]]


def upload(params: CiphertextParams = LARGE, length: int = LENGTH) -> Upload:
    return [
        prg.residues(secrets.token_bytes(32), params.primes, params.degree, 0, count)
        for count in params.frame_ciphertexts(length)
    ]


def total(uploads: Sequence[Upload], params: CiphertextParams = LARGE) -> Upload:
    return [sum(parts) % frames.moduli(params) for parts in zip(*uploads, strict=True)]  # type: ignore[misc]


def tag(mac: RoundMac, silo: int, words: Upload) -> bytes:
    return mac.tag(silo, [mac.frame(index, frame) for index, frame in enumerate(words)])


def accepts(mac: RoundMac, words: Upload, tags: Mapping[int, bytes]) -> bool:
    try:
        mac.verify([mac.frame(index, frame) for index, frame in enumerate(words)], tags)
    except ProtocolError as error:
        return error.code != "sum.refused"
    return True


@pytest.fixture(scope="module")
def mac() -> RoundMac:
    return RoundMac(GROUP, CTX, LARGE, LENGTH)


def in_integers(params: CiphertextParams, length: int, silo: int, words: Upload) -> bytes:
    """The formula of the protocol in Python integers."""
    key = group_key(GROUP, CTX, "mac")
    counts = params.frame_ciphertexts(length)
    found = b""
    for copy in COPIES:
        rho = prg.residues(derive(key, b"", "rho", copy), params.primes, params.degree, 0, max(counts))
        beta = prg.residues(derive(key, b"", "beta", copy), params.primes, len(counts))[0]
        pads = prg.residues(derive(key, b"", "pad", copy), params.primes, params.silos)[0]
        for place, prime in enumerate(params.primes):
            value = int(pads[place, silo - 1])
            for index, frame in enumerate(words):
                flat = frame[:, place].ravel().tolist()
                dot = sum(r * w for r, w in zip(rho[: len(frame), place].ravel().tolist(), flat, strict=True))
                value += int(beta[place, index]) * dot
            found += (value % prime).to_bytes(8, "big")
    return found


@given(
    degree=st.sampled_from([8, 24, 4096, 8192]),
    primes=st.sampled_from([PRIMES[4096, 48], PRIMES[4096, 50], (PRIMES[4096, 50][0], 562949953421381)]),
    extreme=st.booleans(),
    silo=st.integers(1, 3),
)
@settings(max_examples=12)
def test_is_the_formula_in_integers(degree: int, primes: tuple[int, ...], extreme: bool, silo: int) -> None:
    params = CiphertextParams(degree, primes, 16, 3)
    length = params.values_per_ciphertext * 3
    words = upload(params, length)
    if extreme:
        words = [np.broadcast_to(frames.moduli(params) - np.uint64(1), frame.shape).copy() for frame in words]
    assert tag(RoundMac(GROUP, CTX, params, length), silo, words) == in_integers(params, length, silo, words)


def test_more_frames_than_one_are_in_the_formula(mac: RoundMac) -> None:
    words = upload()
    assert len(words) == 2
    assert tag(mac, 5, words) == in_integers(LARGE, LENGTH, 5, words)


def test_the_bounds_of_the_proof() -> None:
    """Limbs cover words and residues; a chunk's dot product stays exact in float64, a frame's in int64."""
    from privacy.he.params import WIRE_BITS
    from privacy.secagg import mac as module

    assert max(WIRE_BITS) <= module.WORD_LIMBS * module.WORD_LIMB_BITS
    assert max(WIRE_BITS) <= module.KEY_LIMBS * module.KEY_LIMB_BITS
    assert module.WORD_LIMB_BITS + module.KEY_LIMB_BITS + math.log2(module.CHUNK) <= 53
    assert module.WORD_LIMB_BITS + module.KEY_LIMB_BITS + 21 <= 63


@given(members=st.sets(st.integers(1, 8), min_size=1))
@settings(max_examples=10)
def test_honest_sums_pass(mac: RoundMac, members: set[int]) -> None:
    uploads = {silo: upload() for silo in members}
    tags = {silo: tag(mac, silo, words) for silo, words in uploads.items()}
    assert accepts(mac, total(list(uploads.values())), tags)


class Round:
    """Four uploads with their tags, and one of an earlier round."""

    def __init__(self, mac: RoundMac) -> None:
        self.mac = mac
        self.uploads = {silo: upload() for silo in (1, 2, 3, 4)}
        self.tags = {silo: tag(mac, silo, words) for silo, words in self.uploads.items()}
        self.earlier = upload()

    def sum(self, *silos: int) -> Upload:
        return total([self.uploads[silo] for silo in silos])


@pytest.fixture(scope="module")
def honest(mac: RoundMac) -> Round:
    made = Round(mac)
    assert accepts(mac, made.sum(1, 2, 3, 4), made.tags)
    return made


def only(tags: Mapping[int, bytes], *silos: int) -> dict[int, bytes]:
    return {silo: tags[silo] for silo in silos}


def test_altered_sums_are_refused(mac: RoundMac, honest: Round) -> None:
    moduli = frames.moduli(LARGE)
    whole = honest.sum(1, 2, 3, 4)
    one = [frame.copy() for frame in whole]
    one[1][0, 0, 4095] = (one[1][0, 0, 4095] + np.uint64(1)) % np.uint64(LARGE.primes[0])
    mixed = [honest.sum(1, 2, 3, 4)[0], honest.sum(1, 2, 3)[1]]
    swapped = [frame.copy() for frame in whole]
    swapped[0][[0, 1]] = swapped[0][[1, 0]]
    crossed = [frame.copy() for frame in whole]
    crossed[0][0], crossed[1][0] = whole[1][0], whole[0][0]
    altered = {
        "dropped": honest.sum(1, 2, 3),
        "doubled": honest.sum(1, 2, 3, 4, 4),
        "swapped for a double": honest.sum(1, 2, 3, 3),
        "replayed": total([honest.sum(1, 2, 3), honest.earlier]),
        "mixed": mixed,
        "reordered in a frame": swapped,
        "reordered over frames": crossed,
        "constant added": [(frame + np.uint64(7)) % moduli for frame in whole],
        "one word": one,
        "scaled": [frame * np.uint64(2) % moduli for frame in whole],
        "negated": [(moduli - frame) % moduli for frame in whole],
        "nothing": [np.zeros_like(frame) for frame in whole],
    }
    assert [name for name, words in altered.items() if accepts(mac, words, honest.tags)] == []


def test_lies_about_the_survivors_are_refused(mac: RoundMac, honest: Round) -> None:
    """The list is shorter or longer than what is in the sum; a tag stands under another silo's name."""
    assert accepts(mac, honest.sum(1, 2, 3), only(honest.tags, 1, 2, 3))
    assert not accepts(mac, honest.sum(1, 2, 3), honest.tags)
    assert not accepts(mac, honest.sum(1, 2, 3, 4), only(honest.tags, 1, 2, 3))
    assert not accepts(mac, honest.sum(1, 2, 3), {**only(honest.tags, 1, 2), 4: honest.tags[3]})
    assert not accepts(mac, honest.sum(1, 2, 3), only(honest.tags, 1, 2, 4))
    assert not accepts(mac, [np.zeros_like(frame) for frame in honest.earlier], {})


def test_tags_of_another_context_or_group_are_refused(honest: Round) -> None:
    for group, ctx in ((b"h" * 32, CTX), (GROUP, b"d" * 32)):
        other = RoundMac(group, ctx, LARGE, LENGTH)
        assert not accepts(other, honest.sum(1, 2, 3, 4), honest.tags)


@pytest.mark.parametrize("bad", [b"", bytes(15), bytes(17), b"\xff" * 16])
def test_malformed_tags_are_refused(mac: RoundMac, honest: Round, bad: bytes) -> None:
    assert not accepts(mac, honest.sum(1, 2, 3, 4), {**honest.tags, 4: bad})
    assert not accepts(mac, honest.sum(1, 2, 3, 4), {**honest.tags, 9: honest.tags[4]})


def test_a_residue_has_one_form(mac: RoundMac, honest: Round) -> None:
    """A tag that is only congruent to the right one is not the right one."""
    value = int.from_bytes(honest.tags[4][:8], "big") + LARGE.primes[0]
    assert not accepts(mac, honest.sum(1, 2, 3, 4), {**honest.tags, 4: value.to_bytes(8, "big") + honest.tags[4][8:]})


def test_each_copy_is_enough(mac: RoundMac, honest: Round) -> None:
    """Two independent equations: what fits one and not the other is refused."""
    for place in (0, 1):
        tampered = bytearray(honest.tags[4])
        tampered[8 * place + 7] ^= 1
        assert not accepts(mac, honest.sum(1, 2, 3, 4), {**honest.tags, 4: bytes(tampered)})


def test_tags_do_not_show_the_words(mac: RoundMac) -> None:
    """The same words have unrelated tags under another silo's pad: a tag is padded once."""
    words = upload()
    one, other = (np.frombuffer(tag(mac, silo, words), ">u8") for silo in (1, 2))
    assert not (one == other).any()


def test_misuse_is_a_value_error(mac: RoundMac) -> None:
    words = upload()
    parts = [mac.frame(index, frame) for index, frame in enumerate(words)]
    with pytest.raises(ValueError, match="every frame"):
        mac.tag(1, parts[:1])
    with pytest.raises(ValueError, match="no such silo"):
        mac.tag(9, parts)
    with pytest.raises(ValueError, match="shape"):
        mac.frame(1, words[0])
    with pytest.raises(ValueError, match="shape"):
        mac.frame(0, words[0].astype(np.int64))
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(mac)
