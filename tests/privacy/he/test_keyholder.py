"""Decrypting a sum gives the integer sum bit for bit, the adder is SEAL's, and altered sums are refused."""

import functools

import numpy as np
import pytest
import tenseal.sealapi as sealapi
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.adder import Adder
from privacy.he.keyholder import Ciphertext, KeyHolder
from privacy.he.params import PRIMES, CiphertextParams


@functools.cache
def keyholder(silos: int, bits: int | None = None) -> KeyHolder:
    bits = bits or (48 if silos <= 8 else 50)
    return KeyHolder.generate(CiphertextParams(4096, PRIMES[4096, bits], 16, silos))


def add(params: CiphertextParams, uploads: list[Ciphertext], length: int) -> list[bytes]:
    adder = Adder(params, length)
    for upload in uploads:
        for index, frame in enumerate(upload.frames):
            adder.add(index, frame)
    return list(adder.sum_frames())


def check(silos: int, vectors: list[np.ndarray], bits: int | None = None) -> None:
    holder, length = keyholder(silos, bits), vectors[0].size
    uploads = [holder.protect(vector) for vector in vectors]
    for upload in uploads:
        assert tuple(map(len, upload.frames)) == holder.params.frame_sizes(length)
        assert len(upload.seeds) == holder.params.seed_bytes(length)
    opened = holder.open(add(holder.params, uploads, length), [upload.seeds for upload in uploads], length)
    assert opened.dtype == np.int64
    assert np.array_equal(opened, np.sum(vectors, axis=0, dtype=np.int64))


@pytest.mark.parametrize("silos", range(2, 17))
@pytest.mark.parametrize("value", [0, 65535])
def test_all_zero_and_all_maximum_at_every_number_of_silos(silos: int, value: int) -> None:
    check(silos, [np.full(keyholder(silos).params.values_per_ciphertext, value, np.uint16)] * silos)


@given(st.data())
@settings(max_examples=40)
def test_random_vectors_of_any_length_and_number_of_survivors(data: st.DataObject) -> None:
    silos = data.draw(st.integers(2, 16))
    survivors = data.draw(st.integers(1, silos))
    length = data.draw(st.sampled_from([1, 2, 4095, 4096, 4097, 8189, 8190, 8192, 20_000]))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    bits = data.draw(st.sampled_from([48, 50])) if silos <= 8 else 50
    check(silos, [generator.integers(0, 2**16, length, dtype=np.uint16) for _ in range(survivors)], bits)


def test_several_frames() -> None:
    length = (keyholder(3).params.ciphertexts_per_frame + 1) * keyholder(3).params.values_per_ciphertext - 5
    generator = np.random.default_rng(0)
    check(3, [generator.integers(0, 2**16, length, dtype=np.uint16) for _ in range(3)])


@pytest.mark.parametrize("bits", [48, 50])
def test_the_adder_gives_the_bytes_of_seals_own_addition(bits: int) -> None:
    holder, length = keyholder(3, bits), 20_000
    ring, params = holder._ring, holder.params
    generator = np.random.default_rng(1)
    uploads = [holder.protect(generator.integers(0, 2**16, length, dtype=np.uint16)) for _ in range(3)]
    decoded = [frames.decode(upload.frames[0], 3, params) for upload in uploads]
    added = []
    for index in range(3):
        total, other = sealapi.Ciphertext(), sealapi.Ciphertext()
        ring.files.write_seeded(total, decoded[0][index], uploads[0].seeds[64 * index : 64 * index + 64])
        for words, upload in zip(decoded[1:], uploads[1:], strict=True):
            ring.files.write_seeded(other, words[index], upload.seeds[64 * index : 64 * index + 64])
            ring.evaluator.add_inplace(total, other)
        added.append(ring.files.read_ciphertext(total, 2, ntt=True)[0])
    assert add(params, uploads, length) == [frames.encode(np.stack(added), params)]


def test_the_secret_reaches_another_silo() -> None:
    steward = keyholder(3)
    other = KeyHolder.from_secret(steward.params, steward.secret())
    values = np.arange(9000, dtype=np.uint16)
    upload = other.protect(values)
    assert len(steward.secret()) == 4096
    assert other.secret() == steward.secret()
    assert np.array_equal(steward.open(upload.frames, [upload.seeds], 9000), values)
    assert steward.secret().hex()[:32] not in repr(steward)


def test_secrets_differ_and_are_balanced() -> None:
    one, two = (np.frombuffer(KeyHolder.generate(keyholder(3).params).secret(), np.int8) for _ in range(2))
    assert (one != two).sum() > 2000
    for secret in (one, two):
        assert set(secret.tolist()) == {-1, 0, 1}
        # Uniform over three values: six deviations of a binomial with n = 4096, p = 1/3 are 181.
        assert all(abs(np.count_nonzero(secret == value) - 4096 / 3) < 181 for value in (-1, 0, 1))


@pytest.mark.parametrize(
    "damage",
    [
        lambda secret: b"",
        lambda secret: secret[:-1],
        lambda secret: secret + b"\x00",
        lambda secret: bytes(4096),
        lambda secret: b"\x02" + secret[1:],
        lambda secret: b"\x80" + secret[1:],
        lambda secret: secret[:2000] + bytes(2096),
    ],
    ids=["empty", "short", "long", "zero", "two", "minus 128", "half erased"],
)
def test_what_is_no_secret_is_refused(damage: "object") -> None:
    holder = keyholder(3)
    with pytest.raises(ProtocolError) as caught:
        KeyHolder.from_secret(holder.params, damage(holder.secret()))  # type: ignore[operator]
    assert caught.value.code == "protocol.key_malformed"


def test_the_same_values_never_look_the_same() -> None:
    values = np.arange(20_000, dtype=np.uint16)
    one, two = keyholder(3).protect(values), keyholder(3).protect(values)
    seeds = [upload.seeds[start : start + 64] for upload in (one, two) for start in (0, 64, 128)]
    assert len(set(seeds)) == 6
    words = [frames.decode(upload.frames[0], 3, keyholder(3).params) for upload in (one, two)]
    assert np.count_nonzero(words[0] == words[1]) < 5


def test_words_of_a_ciphertext_look_uniform() -> None:
    params = keyholder(3).params
    words = frames.decode(
        keyholder(3).protect(np.zeros(params.values_per_ciphertext * 10, np.uint16)).frames[0], 10, params
    )
    high = np.bincount((words >> np.uint64(44)).reshape(-1).astype(np.int64), minlength=16)
    # 40,960 words over 16 cells: chi-square with 15 degrees of freedom, 99.9999 % point 57.
    assert ((high - 2560) ** 2 / 2560).sum() < 57


def test_values_that_are_no_upload_are_misuse() -> None:
    for wrong in (np.zeros(4, np.int64), np.zeros((2, 2), np.uint16), np.zeros(0, np.uint16)):
        with pytest.raises(ValueError, match="uint16 vector"):
            keyholder(3).protect(wrong)  # type: ignore[arg-type]
    narrow = KeyHolder.generate(CiphertextParams(4096, PRIMES[4096, 48], 8, 3))
    with pytest.raises(ValueError, match="bits"):
        narrow.protect(np.full(4, 256, np.uint16))


# Tampered twins: what is accepted above is refused after one change.


@pytest.fixture(scope="module")
def honest() -> tuple[list[bytes], list[bytes], list[Ciphertext], int]:
    length = 10_000
    generator = np.random.default_rng(5)
    uploads = [keyholder(3).protect(generator.integers(0, 2**16, length, dtype=np.uint16)) for _ in range(3)]
    return add(keyholder(3).params, uploads, length), [upload.seeds for upload in uploads], uploads, length


def refused(sum_frames: list[bytes], seeds: list[bytes], length: int) -> str:
    with pytest.raises(ProtocolError) as caught:
        keyholder(3).open(sum_frames, seeds, length)
    return caught.value.code


def test_a_changed_word_is_refused(honest: tuple[list[bytes], list[bytes], list[Ciphertext], int]) -> None:
    sum_frames, seeds, _, length = honest
    keyholder(3).open(sum_frames, seeds, length)
    for position in (0, 4096, len(sum_frames[0]) // 2 + 3):
        frame = bytearray(sum_frames[0])
        frame[position] ^= 1
        assert refused([bytes(frame)], seeds, length) == "sum.refused"


def test_a_changed_seed_is_refused(honest: tuple[list[bytes], list[bytes], list[Ciphertext], int]) -> None:
    sum_frames, seeds, _, length = honest
    altered = bytearray(seeds[1])
    altered[64] ^= 1
    assert refused(sum_frames, [seeds[0], bytes(altered), seeds[2]], length) == "sum.refused"


def test_a_missing_or_doubled_upload_is_refused(
    honest: tuple[list[bytes], list[bytes], list[Ciphertext], int],
) -> None:
    sum_frames, seeds, uploads, length = honest
    params = keyholder(3).params
    assert refused(add(params, uploads[:2], length), seeds, length) == "sum.refused"
    assert refused(add(params, [uploads[0], uploads[0], uploads[1]], length), seeds, length) == "sum.refused"
    assert refused(sum_frames, seeds[:2], length) == "sum.refused"


def test_another_key_is_refused(honest: tuple[list[bytes], list[bytes], list[Ciphertext], int]) -> None:
    sum_frames, seeds, _, length = honest
    with pytest.raises(ProtocolError) as caught:
        KeyHolder.generate(keyholder(3).params).open(sum_frames, seeds, length)
    assert caught.value.code == "sum.refused"


def test_sizes_and_counts_are_refused_before_anything_is_opened(
    honest: tuple[list[bytes], list[bytes], list[Ciphertext], int],
) -> None:
    sum_frames, seeds, _, length = honest
    assert refused(sum_frames, [], length) == "protocol.sum_silos"
    assert refused(sum_frames, [*seeds, seeds[0]], length) == "protocol.sum_silos"
    assert refused(sum_frames, [seeds[0][:-1], *seeds[1:]], length) == "protocol.seed_length"
    assert refused([], seeds, length) == "protocol.frame_count"
    assert refused([*sum_frames, sum_frames[0]], seeds, length) == "protocol.frame_count"
    assert refused([sum_frames[0][:-1]], seeds, length) == "protocol.frame_length"
    assert refused([b"\xff" * len(sum_frames[0])], seeds, length) == "protocol.frame_range"


def test_a_value_in_the_padding_is_refused() -> None:
    per = keyholder(3).params.values_per_ciphertext
    upload = keyholder(3).protect(np.ones(per, np.uint16))
    assert refused(list(upload.frames), [upload.seeds], per - 1) == "sum.refused"


def test_garbage_in_one_ciphertext_is_refused_where_almost_every_field_is_in_range() -> None:
    """All of 16 silos on the small ring: a uniform field is in range but for one in 2^16."""
    holder, generator = keyholder(16), np.random.default_rng(3)
    length = 2 * holder.params.values_per_ciphertext
    upload = holder.protect(generator.integers(0, 2**16, length, dtype=np.uint16))
    (total,) = add(holder.params, [upload] * 16, length)
    holder.open([total], [upload.seeds] * 16, length)
    words = frames.decode(total, 2, holder.params)
    for trial in range(20):
        words[trial % 2] = generator.integers(0, holder.params.modulus, 4096, dtype=np.uint64)
        with pytest.raises(ProtocolError) as caught:
            holder.open([frames.encode(words, holder.params)], [upload.seeds] * 16, length)
        assert caught.value.code == "sum.refused"
        words = frames.decode(total, 2, holder.params)


def test_a_sum_above_that_of_its_silos_is_refused() -> None:
    holder, length = keyholder(3), keyholder(3).params.values_per_ciphertext
    value = np.full(length, 65535, np.uint16)
    one, two = holder.protect(value), holder.protect(value)
    total = add(holder.params, [one, two], length)
    holder.open(total, [one.seeds, two.seeds], length)
    # An aggregator can add a known constant to a ciphertext without any key.
    words = frames.decode(total[0], 1, holder.params)
    constant = np.zeros((1, 1, 4096), np.uint64)
    constant[0, 0, 0] = 1 << holder.params.shift
    added = (words + holder._ring.to_ntt(constant)) % np.uint64(holder.params.modulus)
    assert refused([frames.encode(added, holder.params)], [one.seeds, two.seeds], length) == "sum.refused"
