"""The rule of the ranges: its bounds, growth and shrinking, and that it is exact integer arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from privacy.errors import StudyError
from privacy.randomness import SecureStream
from privacy.secagg.ranges import HEADROOM, NARROWEST, STEP, WIDEST, PublicBound, Ranges, public_bound
from privacy.study import Privacy, Training

STREAM = SecureStream()
BITS, LARGEST = 16, 65535
QUIET, NOISY = PublicBound(0.0, 1.0), PublicBound(0.3, 0.7)


def after(
    ranges: Ranges, sums: NDArray[np.int64], saturated: list[int], silos: int = 3, bound: PublicBound = QUIET
) -> Ranges:
    """One value a tensor."""
    return ranges.following(bound, sums, np.array(saturated), sizes=(1,) * len(sums), weights=(1.0,) * silos, bits=BITS)


def resting(silos: int, tensors: int = 1) -> NDArray[np.int64]:
    """A sum of zeros, rounded up by every silo but the first."""
    return np.full(tensors, (silos * LARGEST + silos) // 2)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Ranges, NDArray[np.int64], NDArray[np.int64], tuple[int, ...], tuple[float, ...]]:
    """Any ranges, and any sum that silos of any weights could open."""
    sizes = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=5)))
    weights = tuple(draw(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=64)))
    ranges = Ranges(tuple(draw(st.integers(NARROWEST, WIDEST)) for _ in sizes))
    values = st.integers(0, len(weights) * LARGEST)
    sums = np.array([draw(values) for _ in range(sum(sizes))], np.int64)
    saturated = np.array([draw(st.integers(0, 2 * size)) for size in sizes], np.int64)
    return ranges, sums, saturated, sizes, weights


@given(rounds(), st.sampled_from((QUIET, NOISY, PublicBound(1e-9, 1e3), PublicBound(1e3, 1e-9))))
def test_the_bounds_hold_whatever_the_sum(
    played: tuple[Ranges, NDArray[np.int64], NDArray[np.int64], tuple[int, ...], tuple[float, ...]],
    bound: PublicBound,
) -> None:
    ranges, sums, saturated, sizes, weights = played
    following = ranges.following(bound, sums, saturated, sizes=sizes, weights=weights, bits=BITS)
    again = ranges.following(bound, sums[::-1][::-1], saturated.copy(), sizes=sizes, weights=weights[::-1], bits=BITS)
    assert again == following
    for before, now, count in zip(ranges.powers, following.powers, saturated, strict=True):
        assert NARROWEST <= now <= WIDEST
        assert math.ldexp(bound.limit, now) >= bound.noise
        assert now >= before - STEP
        if count:
            assert now > before or before == WIDEST
            assert now <= max(0, before + 1)
        else:
            assert now <= max(0, before)


@given(rounds())
def test_a_silo_may_be_far_from_the_mean_in_the_next_round(
    played: tuple[Ranges, NDArray[np.int64], NDArray[np.int64], tuple[int, ...], tuple[float, ...]],
) -> None:
    ranges, sums, saturated, sizes, weights = played
    following = ranges.following(NOISY, sums, saturated, sizes=sizes, weights=weights, bits=BITS)
    start = 0
    for before, now, size in zip(ranges.powers, following.powers, sizes, strict=True):
        part, start = sums[start : start + size], start + size
        for total in part.tolist():
            mean = Fraction(abs(2 * total - len(weights) * LARGEST), LARGEST) * Fraction(2) ** before
            mean /= sum(map(Fraction, weights), Fraction(0))
            room = Fraction(2) ** now - Fraction(NOISY.noise) / Fraction(NOISY.limit)
            assert now >= 0 or room >= HEADROOM * mean


def test_a_resting_tensor_narrows_step_by_step_down_to_the_narrowest() -> None:
    ranges, seen = Ranges.first(1), []
    for _ in range(5):
        ranges = after(ranges, resting(3), [0])
        seen.append(ranges.powers[0])
    assert seen == [-4, -8, -12, -12, -12]


def test_a_resting_tensor_keeps_the_room_that_noise_needs() -> None:
    ranges = Ranges.first(1)
    for _ in range(5):
        ranges = after(ranges, resting(3), [0], bound=NOISY)
    # 0.3 of 1.0, and the last rounding: half of the public bound.
    assert ranges.powers == (-1,)


def test_saturation_widens_fast_to_the_public_bound_and_slowly_beyond() -> None:
    ranges, seen = Ranges((NARROWEST,)), []
    for _ in range(9):
        ranges = after(ranges, resting(3), [1])
        seen.append(ranges.powers[0])
    assert seen == [-8, -4, 0, 1, 2, 3, 4, 4, 4]
    # And what is beyond comes back, when nothing saturates any more.
    assert after(ranges, resting(3), [0]).powers == (0,)


def test_values_at_the_public_bound_alone_do_not_widen() -> None:
    assert after(Ranges.first(2), np.array([0, 3 * LARGEST]), [0, 0]).powers == (0, 0)


def test_tensors_are_judged_each_by_its_own() -> None:
    sums = np.array([3 * LARGEST, resting(3)[0], resting(3)[0]])
    assert after(Ranges((-3, -3, -3)), sums, [0, 0, 7]).powers == (0, -7, 0)


def test_the_power_is_the_least_that_suffices_to_the_last_unit() -> None:
    # Three silos, public bound 1: 8 * peak / (3 * 65535) at power 0 is one half for a peak of 3 * 65535 / 16.
    edge = 3 * LARGEST / 16
    below, above = (3 * LARGEST + math.floor(edge)) // 2, (3 * LARGEST + math.ceil(edge) + 1) // 2
    peaks = [abs(2 * total - 3 * LARGEST) for total in (below, above)]
    assert peaks[0] < edge < peaks[1]
    assert after(Ranges.first(2), np.array([below, above]), [0, 0]).powers == (-1, 0)
    # An exact tie: a mean of the whole range, at power -4, asks for -4 + 3 and not more.
    assert after(Ranges((-4,)), np.array([3 * LARGEST]), [0]).powers == (-1,)


def test_weights_are_of_the_mean_update() -> None:
    # One silo has almost all of the weight, so that the mean update is its own; three equal ones share it.
    sums = np.array([(3 * LARGEST + LARGEST // 16) // 2])
    equal, heavy = (
        Ranges.first(1).following(QUIET, sums, np.zeros(1, np.int64), sizes=(1,), weights=weights, bits=BITS)
        for weights in ((1.0, 1.0, 1.0), (1.0, 1e-6, 1e-6))
    )
    # 8 / 16 of the range, or a third of that.
    assert (equal.powers, heavy.powers) == ((-2,), (-1,))


def test_sums_and_ranges_of_other_layouts_are_misuse() -> None:
    for ranges, sums, saturated in ((Ranges.first(2), 1, 1), (Ranges.first(1), 1, 2), (Ranges.first(2), 1, 2)):
        with pytest.raises(ValueError, match="another layout"):
            ranges.following(
                QUIET, np.zeros(sums, np.int64), np.zeros(saturated, np.int64), sizes=(1,), weights=(1.0,), bits=BITS
            )
    with pytest.raises(ValueError, match="another layout"):
        Ranges.first(1).following(
            QUIET, np.zeros(2, np.int64), np.zeros(1, np.int64), sizes=(1,), weights=(1.0,), bits=BITS
        )


def test_ranges_no_round_leads_to_are_misuse() -> None:
    for power in (NARROWEST - 1, WIDEST + 1):
        with pytest.raises(ValueError, match="outside"):
            Ranges((0, power))
    for noise, signal in ((-1.0, 2.0), (0.0, 0.0), (math.nan, 1.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="positive and finite"):
            PublicBound(noise, signal)


def test_a_rounds_layout_names_its_ranges() -> None:
    layout = b"l" * 32
    digests = {Ranges(powers).bind(layout) for powers in ((), (0,), (0, 0), (0, -1), (-1, 0), (1, 0))}
    assert len(digests) == 6
    assert len(Ranges((0,)).bind(layout)) == 32
    assert Ranges((0,)).bind(b"m" * 32) not in digests


def test_the_quantiser_of_a_round_has_the_ranges_limits() -> None:
    quantiser = Ranges((0, -2)).quantiser(PublicBound(0.5, 1.5), (1, 2), BITS)
    encoded, saturated = quantiser.encode(np.array([2.0, 0.5, 0.6]), STREAM)
    assert encoded.tolist() == [LARGEST, LARGEST, LARGEST]
    assert saturated.tolist() == [0, 1]


def privacy(noise: float | None) -> Privacy:
    if noise is None:
        return Privacy(mechanism="none", clip=2.0, sampling_rate=0.25, lot_size=180)
    return Privacy(
        mechanism="dp_sgd", epsilon=8.0, delta=1e-4, clip=2.0, sampling_rate=0.25, lot_size=180, noise_multiplier=noise
    )


def test_the_public_bound_covers_signal_and_noise() -> None:
    training = Training(rounds=100, local_steps=4, learning_rate=0.5)
    assert public_bound(privacy(None), training) == PublicBound(0.0, 0.5 * 4 * 2.0)
    bound = public_bound(privacy(1.5), training)
    assert bound.signal == 0.5 * 4 * 2.0
    assert math.isclose(bound.noise, 0.5 * 8 * 2 * 1.5 * 2.0 / 180)


@pytest.mark.parametrize(("learned", "lot"), [(False, 180), (True, 1800)])
def test_noise_alone_does_not_saturate_and_is_kept_finely(learned: bool, lot: int) -> None:
    training = Training(rounds=100, local_steps=1, learning_rate=1.0)
    study = privacy(3.2).model_copy(update={"lot_size": lot})
    bound, deviation, size = public_bound(study, training), 3.2 * 2.0 / lot, 100_000
    ranges, silos = Ranges.first(1), 3
    for _ in range(3 if learned else 0):
        quantiser = ranges.quantiser(bound, (size,), BITS)
        sums = sum(quantiser.encode(STREAM.normals(size) * deviation, STREAM)[0].astype(np.int64) for _ in range(silos))
        ranges = ranges.following(
            bound, np.asarray(sums), np.zeros(1, np.int64), sizes=(size,), weights=(1.0,) * silos, bits=BITS
        )
    # The mean's largest noise, about 5 / sqrt(3) deviations, times the headroom: 0.1 of a bound of 2.03.
    assert ranges.powers == ((-4,) if learned else (0,))
    quantiser = ranges.quantiser(bound, (size,), BITS)
    update = STREAM.normals(size) * deviation
    encoded, saturated = quantiser.encode(update, STREAM)
    assert saturated.tolist() == [0]
    error = quantiser.decode_sum(encoded.astype(np.int64), 1) - update
    assert error.std() < deviation / 500


def test_a_draft_has_no_bound() -> None:
    draft = Privacy(mechanism="dp_sgd", epsilon=8.0, delta=1e-4, clip=2.0, sampling_rate=0.25, lot_size=180)
    with pytest.raises(StudyError, match="study sign"):
        public_bound(draft, Training(rounds=1, local_steps=1, learning_rate=1.0))
