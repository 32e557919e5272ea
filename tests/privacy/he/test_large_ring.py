"""The large ring end to end, and what both rings share: prepared encryptions, workers, words before the wire form."""

import functools

import numpy as np
import pytest
import tenseal.sealapi as sealapi
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.adder import Adder
from privacy.he.keyholder import Ciphertext, KeyHolder, zero_bytes
from privacy.he.params import SEED_BYTES, CiphertextParams

LENGTHS = {"small": 100_000, "large": 1_000_000}


@functools.cache
def keyholder(silos: int, ring: str = "large") -> KeyHolder:
    return KeyHolder.generate(CiphertextParams.choose(silos, LENGTHS[ring]))


def add(params: CiphertextParams, uploads: list[Ciphertext], length: int) -> list[bytes]:
    adder = Adder(params, length)
    for upload in uploads:
        for index, frame in enumerate(upload.frames):
            adder.add(index, frame)
    return list(adder.sum_frames())


def random_values(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**16, length, dtype=np.uint16)


def seeds_of(upload: Ciphertext) -> list[bytes]:
    return [upload.seeds[start : start + SEED_BYTES] for start in range(0, len(upload.seeds), SEED_BYTES)]


@pytest.mark.parametrize("silos", [2, 8, 16, 32, 64])
def test_every_silo_at_its_maximum_and_with_one_value(silos: int) -> None:
    """One real encryption of each, added as often as there are silos: a repeated ciphertext has the noise added up."""
    holder = keyholder(silos)
    length = holder.params.values_per_ciphertext
    alone = np.zeros(length, np.uint16)
    alone[length // 2] = 65535
    for values in (np.full(length, 65535, np.uint16), alone):
        upload = holder.protect(values)
        opened = holder.open(add(holder.params, [upload] * silos, length), [upload.seeds] * silos, length)
        assert np.array_equal(opened, values.astype(np.int64) * silos)


@given(st.data())
@settings(max_examples=6)
def test_random_vectors_of_any_length_and_number_of_survivors(data: st.DataObject) -> None:
    silos = data.draw(st.sampled_from([3, 8, 16, 64]))
    holder = keyholder(silos)
    per = holder.params.values_per_ciphertext
    length = data.draw(st.sampled_from([1, 16384, per - 1, per, per + 1, 2 * per + 1]))
    vectors = [random_values(data.draw(st.integers(0, 2**32)), length) for _ in range(data.draw(st.integers(1, 3)))]
    uploads = [holder.protect(vector) for vector in vectors]
    assert all(tuple(map(len, upload.frames)) == holder.params.frame_sizes(length) for upload in uploads)
    opened = holder.open(add(holder.params, uploads, length), [upload.seeds for upload in uploads], length)
    assert np.array_equal(opened, np.sum(vectors, axis=0, dtype=np.int64))


def test_the_adder_gives_the_bytes_of_seals_own_addition() -> None:
    holder, length = keyholder(3), 1000
    files, evaluator = holder._ring.files, holder._ring.evaluator
    uploads = [holder.protect(random_values(seed, length)) for seed in range(3)]
    total, other = sealapi.Ciphertext(), sealapi.Ciphertext()
    for number, upload in enumerate(uploads):
        words = frames.decode(upload.frames[0], 1, holder.params)[0]
        files.write_seeded(other if number else total, words, upload.seeds)
        if number:
            evaluator.add_inplace(total, other)
    added = files.read_ciphertext(total, 2, ntt=True)[:1]
    assert add(holder.params, uploads, length) == [frames.encode(added, holder.params)]


def test_the_secret_reaches_another_silo_and_no_other_opens() -> None:
    steward = keyholder(3)
    other = KeyHolder.from_secret(steward.params, steward.secret())
    values = random_values(1, 20_000)
    upload = other.protect(values)
    assert len(steward.secret()) == 16384
    assert np.array_equal(steward.open(upload.frames, [upload.seeds], values.size), values)
    with pytest.raises(ProtocolError) as caught:
        KeyHolder.generate(steward.params).open(upload.frames, [upload.seeds], values.size)
    assert caught.value.code == "sum.refused"


def test_words_of_every_prime_look_uniform_and_none_repeats() -> None:
    values = np.zeros(1000, np.uint16)
    one, two = (keyholder(3).encrypt(values).frame(0)[0][0] for _ in range(2))
    assert np.count_nonzero(one == two) < 5
    for row, prime in zip(one, keyholder(3).params.primes, strict=True):
        cells = np.bincount((row // np.uint64(prime // 16 + 1)).astype(np.int64), minlength=16)
        # 16,384 words over 16 cells: chi-square with 15 degrees of freedom, 99.9999 % point 57.
        assert ((cells - 1024) ** 2 / 1024).sum() < 57


# Tampered twins.


@pytest.mark.parametrize("change", ["word", "seed", "missing", "doubled"])
def test_an_altered_sum_is_refused(change: str) -> None:
    holder, length = keyholder(3), 200_000
    uploads = [holder.protect(random_values(seed, length)) for seed in range(2)]
    seeds = [upload.seeds for upload in uploads]
    (frame,) = add(holder.params, uploads, length)
    holder.open([frame], seeds, length)
    if change == "word":
        words = frames.decode(frame, 2, holder.params)
        words[1, 2, 77] = (words[1, 2, 77] + np.uint64(1)) % np.uint64(holder.params.primes[2])
        frame = frames.encode(words, holder.params)
    elif change == "seed":
        seeds[1] = seeds[1][:-1] + bytes([seeds[1][-1] ^ 1])
    elif change == "missing":
        seeds = seeds[:1]
    else:
        (frame,) = add(holder.params, [uploads[0], uploads[0]], length)
    with pytest.raises(ProtocolError) as caught:
        holder.open([frame], seeds, length)
    assert caught.value.code == "sum.refused"


# What both rings share.


@pytest.mark.parametrize(("ring", "frame_count"), [("small", 4), ("large", 3)])
def test_workers_give_what_one_process_gives(ring: str, frame_count: int) -> None:
    holder = keyholder(3, ring)
    length = (frame_count - 1) * holder.params.ciphertexts_per_frame * holder.params.values_per_ciphertext + 5
    vectors = [random_values(seed, length) for seed in range(2)]
    uploads = [holder.protect(vectors[0], processes=2), holder.protect(vectors[1])]
    assert all(len(upload.frames) == frame_count for upload in uploads)
    total = add(holder.params, uploads, length)
    for processes in (1, 2, 8):
        opened = holder.open(total, [upload.seeds for upload in uploads], length, processes)
        assert np.array_equal(opened, vectors[0].astype(np.int64) + vectors[1])


def test_a_refusal_in_a_worker_is_the_same_refusal() -> None:
    holder = keyholder(3, "small")
    length = 3 * holder.params.ciphertexts_per_frame * holder.params.values_per_ciphertext
    upload = holder.protect(random_values(1, length))
    damaged = [upload.frames[0], b"\xff" * len(upload.frames[1]), upload.frames[2]]
    with pytest.raises(ProtocolError) as caught:
        holder.open(damaged, [upload.seeds], length, processes=2)
    assert caught.value.code == "protocol.frame_range"


def test_no_seed_repeats_in_any_process() -> None:
    """Workers forked from one parent, and the parent itself: every seed is new."""
    holder = keyholder(3, "small")
    values = random_values(0, 60 * holder.params.values_per_ciphertext)
    seeds = [seed for processes in (1, 2, 5) for seed in seeds_of(holder.protect(values, processes))]
    assert len(seeds) == 3 * 60
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("ring", LENGTHS)
def test_given_encryptions_of_zero_are_used_and_change_no_value(ring: str) -> None:
    holder = keyholder(3, ring)
    values = random_values(2, 2 * holder.params.values_per_ciphertext)
    zeros = [zero_bytes(*holder.zero()) for _ in range(2)]
    ((words, seeds),) = holder.encrypt(values, zeros).in_order()
    assert seeds == b"".join(zero[:SEED_BYTES].tobytes() for zero in zeros)
    opened = holder.open([frames.encode(words, holder.params)], [seeds], values.size)
    assert np.array_equal(opened, values)
    with pytest.raises(ValueError, match="for each ciphertext"):
        holder.encrypt(values, zeros[:1])


def test_a_frame_is_encrypted_once() -> None:
    encryption = keyholder(3, "small").encrypt(np.ones(3, np.uint16))
    assert len(encryption) == 1
    encryption.frame(0)
    with pytest.raises(RuntimeError, match="once"):
        encryption.frame(0)
    with pytest.raises(RuntimeError, match="once"):
        list(encryption.in_order())


def test_words_are_those_of_the_wire() -> None:
    """A constant added to the words before the wire form, as masks are, comes off before opening."""
    holder = keyholder(3, "small")
    values = random_values(3, 20_000)
    moduli = frames.moduli(holder.params)
    ((words, seeds),) = holder.encrypt(values).in_order()
    mask = np.arange(words.size, dtype=np.uint64).reshape(words.shape) * np.uint64(99_991) % moduli
    masked = frames.encode((words + mask) % moduli, holder.params)

    def unmasked(index: int) -> np.ndarray:
        return (frames.decode(masked, 3, holder.params) + moduli - mask) % moduli

    assert np.array_equal(holder.open_words(unmasked, [seeds], values.size), values)
    with pytest.raises(ProtocolError) as caught:
        holder.open([masked], [seeds], values.size)
    assert caught.value.code == "sum.refused"
