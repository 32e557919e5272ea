"""Attack 9: a silo is asked to unmask twice, for one list with the victim and one without.

Then both its secrets are out, and with G, which any one silo can give, the aggregator opens the victim's upload. A
silo answers one list: what it keeps after `reveal` cannot answer another. (That it stores this before it sends, across
restarts, is for the state machine's tests.)
"""

from collections.abc import Sequence

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg import unmask
from privacy.secagg.masks import MaskKeys
from tests.secure_round import Cast, Round, same

VICTIM = 2
WITH, WITHOUT = (1, 2, 3, 4, 5), (1, 3, 4, 5)


def victims_keys(run: Round, for_with: Sequence[Signed], for_without: Sequence[Signed]) -> MaskKeys:
    """The victim's own masks: its self mask from one list, its pair masks from the other."""
    with_victim = run.recover(for_with, WITH).keys
    without = run.recover(for_without, WITHOUT).keys
    self_masks = set(without.plus) & set(with_victim.plus)
    victims_self = (set(with_victim.plus) - self_masks).pop()
    # In the uploads of the others, these pair masks have the opposite sign.
    later = tuple(without.minus)
    earlier = tuple(key for key in without.plus if key not in self_masks)
    return MaskKeys((victims_self, *later), earlier)


def test_silos_that_answer_twice_open_the_victim() -> None:
    """Off: what is held is kept after the first answer."""
    run = Round(Cast(5)).until_uploads()
    keys = victims_keys(run, run.unmask(run.cast.everyone, WITH), run.unmask(run.cast.everyone, WITHOUT))
    assert same(run.without(run.masked[VICTIM], keys), run.plain[VICTIM])


def test_attack_contradictory_unmask() -> None:
    """On: from what a silo keeps, it can only repeat itself; relabelled for the other list it is of no use."""
    run = Round(Cast(5)).until_uploads()
    kept = {silo: run.received[silo].held.reveal(WITH) for silo in run.cast.everyone}
    held = {silo: run.received[silo].held.by_owner[VICTIM] for silo in run.cast.everyone}
    for silo, revealed in kept.items():
        share_b, share_k = held[silo]
        assert share_b in revealed.shares
        assert share_k not in revealed.shares
        assert not hasattr(revealed, "reveal")
    digest = run.survivors_hash(WITHOUT)
    group = run.cast.group_secret
    relabelled = [
        run.cast.seal(silo, unmask.build(run.places[silo], group, digest, revealed)) for silo, revealed in kept.items()
    ]
    with pytest.raises(ProtocolError) as caught:
        run.recover(relabelled, WITHOUT)
    assert caught.value.code == "unmask.too_few"


def test_a_second_message_of_one_round_shows_even_under_encryption() -> None:
    """One nonce a silo and a context: why the stored bytes are resent and never sealed again for another list."""
    run = Round(Cast(5)).until_uploads()
    first, again = (run.unmask((1,), WITH)[0] for _ in range(2))
    assert first == again
    assert run.unmask((1,), WITHOUT)[0] != first
