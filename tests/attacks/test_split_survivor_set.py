"""Attack 1: the aggregator shows two groups of honest silos different survivor lists.

One list has the victim in it (its silos reveal shares of b), the other has not (its silos reveal shares of k). With t
shares of both, the victim's upload is open. Each honest silo answers one list; colluding silos answer both. Both
groups reach t if and only if c >= 2t - n: the threshold rule t >= max(3, floor(2n/3) + 1) is the defence.
"""

import pytest

from privacy.errors import CollegiumError, ProtocolError
from privacy.secagg import shares
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.masks import MaskKeys
from privacy.secagg.round_keys import pair_key, pair_seed, self_key
from privacy.secagg.share_set import open_seed
from privacy.study import Roster, least_threshold
from tests.secure_round import Cast, Round, same

VICTIM = 1


def steal(run: Round, shown_with: set[int], shown_without: set[int], colluders: set[int]) -> MaskKeys | None:
    """The victim's mask keys from what the two groups reveal and the colluders hold; None if too few shares."""
    everyone = set(run.cast.everyone)
    held: dict[str, dict[int, bytes]] = {"b": {}, "k": {}}
    for silo in shown_with:
        revealed = run.received[silo].held.reveal(everyone)
        held["b"][silo] = revealed.shares[revealed.owners.index(VICTIM)]
    for silo in shown_without:
        revealed = run.received[silo].held.reveal(everyone - {VICTIM})
        held["k"][silo] = revealed.shares[revealed.owners.index(VICTIM)]
    for silo in colluders:
        held["b"][silo], held["k"][silo] = run.received[silo].held.by_owner[VICTIM]
    try:
        b, k = (shares.combine(held[kind], run.cast.roster.threshold) for kind in ("b", "k"))
    except ValueError:
        return None
    key = HybridKey(k)
    keys = {
        peer: pair_key(
            run.share_set.digest,
            VICTIM,
            peer,
            pair_seed(k, run.ctx, peer),
            open_seed(key, run.share_set.box(peer, VICTIM).box_s, run.ctx, peer, VICTIM),
        )
        for peer in everyone - {VICTIM}
    }
    # The victim has the first index: all its pair masks are added.
    return MaskKeys((self_key(b, run.ctx, VICTIM), *(keys[peer] for peer in sorted(keys))))


def succeeds(run: Round, colluding: int) -> bool:
    """Whether any way to split the honest silos opens the victim's upload."""
    colluders = set(run.cast.everyone[len(run.cast.everyone) - colluding :])
    honest = sorted(set(run.cast.everyone) - colluders)
    assert VICTIM in honest
    for size in range(len(honest) + 1):
        keys = steal(run, set(honest[:size]), set(honest[size:]), colluders)
        if keys is not None:
            return same(run.without(run.masked[VICTIM], keys), run.plain[VICTIM])
    return False


@pytest.mark.parametrize("silos", range(3, 17))
def test_attack_split_survivor_set(silos: int) -> None:
    threshold = least_threshold(silos)
    bound = 2 * threshold - silos
    run = Round(Cast(silos)).until_uploads()
    for colluding in range(min(bound - 1, threshold - 2) + 1):
        assert not succeeds(run, colluding)
    if bound <= silos - 1:  # for three silos even all others would not be enough
        assert succeeds(run, bound)
    assert not succeeds(run, bound - 1)


@pytest.mark.parametrize("silos", range(3, 17))
def test_without_the_threshold_rule_it_succeeds_among_tolerated_colluders(silos: int) -> None:
    least = least_threshold(silos)
    low = least - 1
    colluding = max(2 * low - silos, 0)
    assert colluding <= min(2 * least - silos - 1, least - 2)
    run = Round(Cast(silos, low, unchecked=True)).until_uploads()
    assert succeeds(run, colluding)


@pytest.mark.parametrize("silos", range(3, 17))
def test_a_roster_below_the_rule_is_refused(silos: int) -> None:
    roster = Cast(silos).roster.model_dump()
    with pytest.raises(ValueError, match="threshold must be from"):
        Roster.model_validate({**roster, "threshold": least_threshold(silos) - 1})


def test_what_one_group_reveals_is_of_no_use_for_the_other_list() -> None:
    """The shares of one list, published for the other, open nothing and name nobody wrongly as right."""
    run = Round(Cast(4)).until_uploads()
    messages = run.unmask((1, 2, 3), (1, 2, 3, 4))
    with pytest.raises(ProtocolError) as caught:
        run.recover(messages, (2, 3, 4), silo=2)
    assert isinstance(caught.value, CollegiumError)
    assert caught.value.code == "unmask.too_few"
