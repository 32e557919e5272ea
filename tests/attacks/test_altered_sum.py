"""Attack 7: sums that are not the sum of the accepted uploads, and sets and lists that are not this round's.

Between silos that are values; `test_reaction_attack`, `test_survivors_changed` and `test_old_advertise_set` play the
like against running ones. Without the check each passes unnoticed: what is opened is a sum, only a wrong one. With it
each is refused before any share is revealed or anything is opened, all with one code.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from privacy.errors import CollegiumError, ProtocolError
from privacy.he import frames
from privacy.secagg import advertise, masks, share_set
from privacy.secagg.advertise import AdvertiseSet
from privacy.secagg.masks import MaskKeys
from privacy.secagg.share_set import box_info
from privacy.wire.messages import Advertise
from privacy.wire.sets import advertise_set_digest
from tests.secure_round import Cast, Round, Words, same, tiny_params

SURVIVORS = (1, 2, 3, 4)


class Uploaded:
    """Four uploads with their tags, and those of the round before."""

    def __init__(self) -> None:
        cast = Cast(4)
        length = 5 * tiny_params(4).values_per_ciphertext
        self.earlier = Round(cast, length=length, number=1).until_uploads()
        self.run = Round(cast, length=length, number=2).until_uploads()
        self.honest = self.run.masked_sum(SURVIVORS)
        self.moduli = frames.moduli(self.run.params)

    def sum(self, *silos: int) -> Words:
        return self.run.masked_sum(silos)

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> Words:
        return [np.ascontiguousarray(change(frame)) for frame in self.honest]


@pytest.fixture(scope="module")
def world() -> Uploaded:
    return Uploaded()


def opened_without_checks(world: Uploaded, words: Words) -> Words:
    """What silos that skip the MAC would take for the sum."""
    recovered = world.run.recover(world.run.unmask(SURVIVORS, SURVIVORS), SURVIVORS)
    return world.run.opened(words, recovered)


ALTERATIONS: Mapping[str, Callable[[Uploaded], Words]] = {
    "dropped": lambda w: w.sum(1, 2, 3),
    "doubled": lambda w: w.sum(1, 2, 3, 4, 4),
    "one for another": lambda w: w.sum(1, 2, 3, 3),
    "replayed": lambda w: w.run.total([w.sum(1, 2, 3), w.earlier.masked[4]]),
    "an old sum": lambda w: w.earlier.masked_sum(SURVIVORS),
    "mixed": lambda w: [np.concatenate([w.honest[0][:1], w.sum(1, 2, 3)[0][1:]])],
    "reordered": lambda w: w.each(lambda frame: frame[::-1]),
    "constant added": lambda w: w.each(lambda frame: (frame + np.uint64(1 << 30)) % w.moduli),
    "scaled": lambda w: w.each(lambda frame: frame * np.uint64(2) % w.moduli),
    "zeroed": lambda w: w.each(np.zeros_like),
    "one word": lambda w: w.each(
        lambda frame: np.where(np.arange(frame.size).reshape(frame.shape) == 5, (frame + 1) % w.moduli, frame)
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_attack_altered_sum_of_values(world: Uploaded, name: str) -> None:
    altered = ALTERATIONS[name](world)
    # Off: nothing else complains, and what comes out is not the sum.
    assert not same(opened_without_checks(world, altered), world.run.plain_sum(SURVIVORS))
    # On: refused with the one code.
    with pytest.raises(ProtocolError) as caught:
        world.run.verify(altered, SURVIVORS)
    assert caught.value.code == "sum.refused"
    world.run.verify(world.honest, SURVIVORS)


def test_some_alterations_would_have_been_plausible(world: Uploaded) -> None:
    """A constant added to the sum of masked words is that constant added to what is opened: no range check sees it."""
    altered = ALTERATIONS["constant added"](world)
    found = opened_without_checks(world, altered)
    expected = [(frame + np.uint64(1 << 30)) % world.moduli for frame in world.run.plain_sum(SURVIVORS)]
    assert same(found, expected)


def test_attack_survivor_list_that_lies_of_values(world: Uploaded) -> None:
    """The sum is of three and the list of four, or the other way round: the pads do not cancel."""
    for summed, listed in (((1, 2, 3), SURVIVORS), (SURVIVORS, (1, 2, 3)), ((1, 2, 4), (1, 2, 3))):
        with pytest.raises(ProtocolError) as caught:
            world.run.verify(world.sum(*summed), listed)
        assert caught.value.code == "sum.refused"


def test_attack_survivors_changed_after_sign_of_values(world: Uploaded) -> None:
    """Silos signed and unmasked one list; then the aggregator serves the sum and the list of fewer."""
    messages = world.run.unmask(SURVIVORS, SURVIVORS)
    # Off: the self masks that were revealed for the first list are taken from the second sum; noise is left.
    recovered = world.run.recover(messages, SURVIVORS)
    kept = MaskKeys(recovered.keys.plus[:3], recovered.keys.minus)
    assert not same(world.run.without(world.sum(1, 2, 3), kept), world.run.plain_sum((1, 2, 3)))
    # On: nothing that was revealed counts for another list.
    with pytest.raises(ProtocolError) as caught:
        world.run.recover(messages, (1, 2, 3))
    assert caught.value.code == "unmask.too_few"


def test_attack_old_advertise_set_of_values() -> None:
    """The aggregator serves last round's keys, whose secrets it got hold of since, and would read every share."""
    cast = Cast(4)
    old = Round(cast, number=1)
    seized = old.advertise(cast.everyone)
    run = Round(cast, number=2)
    current = run.advertise(cast.everyone)
    # Off: each old message is properly signed by a member, and the shares of now are sealed to its key.
    bodies = tuple(advertise.build(old.places[silo], old.secrets[silo]) for silo in cast.everyone)
    assert all(isinstance(body, Advertise) for body in bodies)
    unchecked = AdvertiseSet(advertise_set_digest(seized), bodies)
    shared = share_set.build(run.places[1], run.secrets[1], unchecked)
    box = shared.boxes[1]
    assert len(old.secrets[2].key_c.open(box.box_c, box_info("share", run.ctx, 1, 2))) == 64
    # On: its context is not this round's, whole or mixed in.
    for served in (seized, (current[0], *seized[1:])):
        with pytest.raises(CollegiumError) as caught:
            advertise.check(run.places[1], served, current[0])
        assert caught.value.code == "round.split_view"


def test_attack_two_share_sets_of_values() -> None:
    """Two halves are shown different ShareSets: their masks do not cancel, so nothing but noise is ever opened."""
    cast = Cast(5)
    run = Round(cast)
    shared = run.share(run.advertise(cast.everyone), cast.everyone)
    whole = run.receive(shared)
    run.upload((1, 2))
    assert run.receive(shared[:4]).digest != whole.digest
    run.upload((3, 4))
    survivors = (1, 2, 3, 4)
    recovered = run.recover(run.unmask(survivors, survivors), survivors)
    found = run.opened(run.masked_sum(survivors), recovered)
    assert not any(np.array_equal(a, b) for a, b in zip(found[0], run.plain_sum(survivors)[0], strict=True))


def test_masked_words_differ_from_plain_ones_everywhere(world: Uploaded) -> None:
    """Off (no masks): an upload is its ciphertext, which any silo's key opens. On: uniform words."""
    run = world.run
    bare = [frame.copy() for frame in run.plain[1]]
    masks.add(bare[0], MaskKeys(()), run.params, 0)
    assert same(bare, run.plain[1])
    assert not (run.masked[1][0] == run.plain[1][0]).any()
