"""Rounding is unbiased, saturation is counted, and a sum decodes to within a step a silo."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import StudyError
from privacy.randomness import SecureStream
from privacy.secagg.quantise import BLOCK, Quantiser, public_limit
from privacy.study import Privacy, Training

STREAM = SecureStream()


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_expectation_is_the_value(fraction: float) -> None:
    limit, bits, trials = 1.0, 8, 400_000
    step = 2 * limit / 255
    value = (37 + fraction) * step - limit
    encoded, saturated = Quantiser(limit, bits).encode(np.full(trials, value), STREAM)
    assert saturated == 0
    assert set(encoded.tolist()) <= {37, 38}
    # Five deviations of the mean of Bernoulli(fraction).
    tolerance = 5 * math.sqrt(max(fraction * (1 - fraction), 1e-12) / trials)
    assert abs(encoded.mean() - 37 - fraction) <= tolerance


def test_sums_over_silos_are_unbiased_for_real_updates() -> None:
    vector = np.random.default_rng(0).normal(0, 0.05, 2_000)
    quantiser, repeats = Quantiser(0.5, 16), 64
    total = sum(quantiser.encode(vector, STREAM)[0].astype(np.int64) for _ in range(repeats))
    error = quantiser.decode_sum(np.asarray(total), repeats) / repeats - vector
    step = 1.0 / 65535
    assert np.abs(error).max() < 6 * step / 2 / math.sqrt(repeats)
    assert abs(error.mean()) < 5 * step / 2 / math.sqrt(repeats * vector.size)


def test_the_edges_and_the_middle() -> None:
    quantiser = Quantiser(2.0, 16)
    encoded, saturated = quantiser.encode(np.array([-2.0, 2.0, np.nextafter(2.0, 0), -np.nextafter(2.0, 0)]), STREAM)
    assert encoded[0] == 0
    assert encoded[1] == 65535
    assert encoded[2] in (65534, 65535)
    assert encoded[3] in (0, 1)
    assert saturated == 0
    middle, _ = quantiser.encode(np.zeros(1000), STREAM)
    assert set(middle.tolist()) == {32767, 32768}


def test_saturation_moves_to_the_edge_and_is_counted() -> None:
    encoded, saturated = Quantiser(1.0, 16).encode(np.array([5.0, -1e300, 1.0, np.nextafter(1.0, 2), 0.0]), STREAM)
    assert encoded[:4].tolist() == [65535, 0, 65535, 65535]
    assert saturated == 3


@given(st.integers(2, 16), st.integers(1, 16), st.floats(1e-6, 1e6), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_sum_decodes_to_within_a_step_a_silo(bits: int, silos: int, limit: float, seed: int) -> None:
    generator, quantiser = np.random.default_rng(seed), Quantiser(limit, bits)
    vectors = [generator.uniform(-limit, limit, 50) for _ in range(silos)]
    sums = np.sum([quantiser.encode(vector, STREAM)[0] for vector in vectors], axis=0, dtype=np.int64)
    step = 2 * limit / (2**bits - 1)
    assert np.abs(quantiser.decode_sum(sums, silos) - np.sum(vectors, axis=0)).max() <= silos * step * (1 + 1e-9)


def test_each_value_may_have_its_own_limit() -> None:
    limits = np.array([1.0, 100.0])
    quantiser = Quantiser(limits, 16)
    encoded, saturated = quantiser.encode(np.array([1.0, -100.0]), STREAM)
    assert encoded.tolist() == [65535, 0]
    assert saturated == 0
    assert quantiser.decode_sum(np.array([65535, 0]), 1).tolist() == [1.0, -100.0]
    for wrong in (np.zeros(3), np.zeros((1, 2))):
        with pytest.raises(ValueError, match="one value for each limit"):
            quantiser.encode(wrong, STREAM)


def test_more_values_than_a_block() -> None:
    vector = np.linspace(-1, 1, 2 * BLOCK + 3)
    quantiser = Quantiser(1.0, 16)
    encoded, _ = quantiser.encode(vector, STREAM)
    assert np.abs(quantiser.decode_sum(encoded.astype(np.int64), 1) - vector).max() <= 2 / 65535 * (1 + 1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_misuse(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Quantiser(1.0, 16).encode(np.array([0.0, bad]), STREAM)
    with pytest.raises(ValueError, match="finite"):
        Quantiser(bad, 16)


def test_limits_and_bits_are_checked() -> None:
    for limit, bits in ((0.0, 16), (-1.0, 16), (1.0, 1), (1.0, 17)):
        with pytest.raises(ValueError, match="must be"):
            Quantiser(limit, bits)


def test_sums_out_of_range_are_misuse() -> None:
    quantiser = Quantiser(1.0, 16)
    for sums, count in (([-1], 1), ([65536], 1), ([131071], 2), ([0], 0)):
        with pytest.raises(ValueError, match="not sums"):
            quantiser.decode_sum(np.array(sums), count)


def privacy(noise: float | None) -> Privacy:
    if noise is None:
        return Privacy(mechanism="none", clip=2.0, sampling_rate=0.25, lot_size=180)
    return Privacy(
        mechanism="dp_sgd", epsilon=8.0, delta=1e-4, clip=2.0, sampling_rate=0.25, lot_size=180, noise_multiplier=noise
    )


def test_the_public_limit_covers_signal_and_noise() -> None:
    training = Training(rounds=100, local_steps=4, learning_rate=0.5)
    assert public_limit(privacy(None), training) == 0.5 * 4 * 2.0
    assert math.isclose(public_limit(privacy(1.5), training), 0.5 * (4 * 2.0 + 8 * 2 * 1.5 * 2.0 / 180))


def test_noise_alone_does_not_saturate_and_is_kept_finely() -> None:
    training = Training(rounds=100, local_steps=1, learning_rate=1.0)
    limit = public_limit(privacy(3.2), training)
    deviation = 3.2 * 2.0 / 180
    update = STREAM.normals(200_000) * deviation
    quantiser = Quantiser(limit, 16)
    encoded, saturated = quantiser.encode(update, STREAM)
    assert saturated == 0
    error = quantiser.decode_sum(encoded.astype(np.int64), 1) - update
    assert error.std() < deviation / 500


def test_a_draft_has_no_limit() -> None:
    draft = Privacy(mechanism="dp_sgd", epsilon=8.0, delta=1e-4, clip=2.0, sampling_rate=0.25, lot_size=180)
    with pytest.raises(StudyError, match="study sign"):
        public_limit(draft, Training(rounds=1, local_steps=1, learning_rate=1.0))
