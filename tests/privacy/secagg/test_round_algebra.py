"""A whole round as pure values: as long as t silos stay, the sum of exactly the survivors comes out, bit for bit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import ProtocolError
from privacy.he.params import CiphertextParams
from privacy.roster import least_threshold
from privacy.study import Encryption
from tests.secure_round import Cast, Round, same


@st.composite
def courses(draw: st.DrawFn) -> tuple[int, set[int], set[int], set[int], set[int]]:
    """A roster size, and who is there at M1, M2, M3 and M5; at least t each time. Returns may come back for M5."""
    silos = draw(st.integers(3, 8))
    least = least_threshold(silos)

    def some(of: set[int]) -> set[int]:
        return draw(st.sets(st.sampled_from(sorted(of)), min_size=min(least, len(of)), max_size=len(of)))

    advertised = some(set(range(1, silos + 1)))
    shared = some(advertised)
    return silos, advertised, shared, some(shared), some(shared)


@given(course=courses())
@settings(max_examples=25)
def test_the_sum_of_the_survivors_comes_out(course: tuple[int, set[int], set[int], set[int], set[int]]) -> None:
    silos, advertised, shared, uploaded, unmasking = course
    run = Round(Cast(silos))
    run.receive(run.share(run.advertise(advertised), shared))
    assert run.share_set.members == tuple(sorted(shared))
    run.upload(uploaded)
    total = run.masked_sum(uploaded)
    run.verify(total, uploaded)
    recovered = run.recover(run.unmask(unmasking, uploaded), uploaded)
    assert recovered.faults == {}
    assert same(run.opened(total, recovered), run.plain_sum(uploaded))
    assert not same(total, run.plain_sum(uploaded))


@given(silos=st.integers(3, 8), data=st.data())
@settings(max_examples=10)
def test_an_upload_of_a_silo_left_out_after_it_came_is_not_in_the_sum(silos: int, data: st.DataObject) -> None:
    """Dropped after upload: it is stored, it counts for nothing, and its k is recovered, not its b."""
    run = Round(Cast(silos)).until_uploads()
    survivors = data.draw(st.sets(st.sampled_from(run.cast.everyone), min_size=run.cast.roster.threshold))
    total = run.masked_sum(survivors)
    run.verify(total, survivors)
    recovered = run.recover(run.unmask(run.cast.everyone, survivors), survivors)
    assert same(run.opened(total, recovered), run.plain_sum(survivors))


def test_every_silo_opens_the_same_whoever_revealed() -> None:
    run = Round(Cast(5)).until_uploads((1, 2, 4, 5))
    survivors = (1, 2, 4, 5)
    keys = [
        run.recover(run.unmask(revealing, survivors), survivors, silo=silo).keys
        for revealing in ((1, 2, 4, 5), (1, 2, 3, 4, 5), (2, 3, 4, 5), (1, 3, 4, 5))
        for silo in (1, 3)
    ]
    assert len({(key.plus, key.minus) for key in keys}) == 1


def test_below_the_threshold_nothing_comes_out() -> None:
    run = Round(Cast(5)).until_uploads()
    with pytest.raises(ProtocolError) as caught:
        run.recover(run.unmask((1, 2, 3), run.cast.everyone), run.cast.everyone)
    assert caught.value.code == "unmask.too_few"


def test_frames_of_the_small_ring() -> None:
    """The real small ring over two frames: masks and MAC run over all words, padding included."""
    params = CiphertextParams.for_study(Encryption(), 3)
    length = params.values_per_ciphertext * params.ciphertexts_per_frame + 1
    run = Round(Cast(3), params, length).until_uploads()
    assert [len(frame) for frame in run.plain[1]] == [params.ciphertexts_per_frame, 1]
    total = run.masked_sum((1, 2, 3))
    run.verify(total, (1, 2, 3))
    recovered = run.recover(run.unmask((1, 2, 3), (1, 2, 3)), (1, 2, 3))
    assert same(run.opened(total, recovered), run.plain_sum((1, 2, 3)))
    assert len(recovered.keys.plus) == 3
    assert recovered.keys.minus == ()


def test_rounds_share_nothing() -> None:
    """The same cast in two rounds: other keys, other masks; a share or a tag of one is of no use in the other."""
    cast = Cast(3)
    one, other = (Round(cast, number=number).until_uploads() for number in (1, 2))
    assert one.ctx != other.ctx
    assert one.tags[1] != other.tags[1]
    with pytest.raises(ProtocolError) as caught:
        other.mac.verify(other.evaluate(other.masked_sum((1, 2, 3))), one.tags)
    assert caught.value.code == "sum.refused"
    with pytest.raises(ProtocolError) as caught:
        other.recover(one.unmask((1, 2, 3), (1, 2, 3)), (1, 2, 3))
    assert caught.value.code == "unmask.too_few"
