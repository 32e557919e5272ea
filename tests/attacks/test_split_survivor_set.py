"""Attack 1: the aggregator shows two groups of honest silos different survivor lists.

One list has the victim in it (its silos reveal shares of b), the other has not (its silos reveal shares of k). With t
shares of both, the victim's upload is open. Each honest silo answers one list; colluding silos answer both. Both
groups reach t if and only if c >= 2t - n: the threshold rule t >= max(3, floor(2n/3) + 1) is the defence.

Against running silos for n = 4, and for n = 3 to 16 between silos that are values.
"""

from pathlib import Path

import numpy as np
import pytest

from privacy.errors import CollegiumError, ProtocolError
from privacy.roster import Roster, least_threshold
from privacy.secagg import shares
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.masks import MaskKeys
from privacy.secagg.round_keys import pair_key, pair_seed, self_key
from privacy.secagg.share_set import open_seed
from privacy.study import Study
from privacy.wire.messages import Unmask
from silo_node.rounds.agent import Agent
from tests.attacks.coalition import Coalition, Memory, own_masks
from tests.attacks.stage import Stage, codes, stage_of
from tests.attacks.two_lists import Answers, ShowsTwoLists, dies_after, killed
from tests.secure_round import Cast, Round, same

VICTIM = 1
LAST = 4
"""The victim among running silos: it stands in one of the two lists."""


def split(stage: Stage, colluding: int) -> tuple[list[Agent], set[str], bool]:
    """Silos 1 to `colluding` collude; the victim's group sees the list with it, silo 3 the one without.

    How the silos ended, and whether the coalition has read the victim's update.
    """
    colluders = range(1, colluding + 1)
    memory = Memory.kept(stage.patch)
    answers = Answers(second={"east"}, expected={True: 1, False: 3 - colluding})
    hub = type("Splits", (ShowsTwoLists,), {"answers": answers})

    def cast(agent: Agent) -> None:
        if agent._index in colluders:
            answers.colluders.append(agent)
            agent.client.sum_frames = killed  # type: ignore[method-assign]
        dies_after(agent, Unmask)

    agents, results = stage.play(hub, cast)
    coalition = Coalition(stage, agents[0])
    found = []
    for second, members in ((False, (1, 2, 3, 4)), (True, (1, 2, 3))):
        digest = answers.digest(second=second)
        told = [coalition.unmasked(agents[silo - 1], memory.held[silo][0], members, digest) for silo in colluders]
        found.append(coalition.recovered(members, digest, [*told, *answers.unmasks[digest].values()]))
    with_victim, without = found
    if with_victim is None or without is None:
        return agents, codes(results), False
    update = coalition.update(LAST, own_masks(with_victim, without, LAST, (1, 2, 3, 4)))
    assert update is not None
    np.testing.assert_allclose(update, agents[LAST - 1].learner.update(1), atol=1e-3)  # type: ignore[attr-defined]
    return agents, codes(results), True


def below_the_rule(study: Study) -> Study:
    """The same study with a threshold of two for four silos, which nobody could sign or read."""
    fields = {name: getattr(study.roster, name) for name in Roster.model_fields}
    return study.model_copy(update={"roster": Roster.model_construct(**{**fields, "threshold": 2})})


def test_attack_split_survivor_set_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One colluder of four, as many as are tolerated: the group without the victim sees too few signatures."""
    _, ended, stolen = split(stage_of(tmp_path, monkeypatch, silos=4), colluding=1)
    assert not stolen
    assert ended == {"Killed", "sum.refused"}


def test_attack_split_survivor_set_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the threshold rule the same colluder is enough."""
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    stage.federation.study = below_the_rule(stage.federation.study)
    _, ended, stolen = split(stage, colluding=1)
    assert stolen
    assert ended == {"Killed"}


def test_split_survivor_set_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented limit: with c = 2t - n = 2 colluders of four it succeeds."""
    _, ended, stolen = split(stage_of(tmp_path, monkeypatch, silos=4), colluding=2)
    assert stolen
    assert ended == {"Killed"}


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
def test_attack_split_survivor_set_of_values_on(silos: int) -> None:
    threshold = least_threshold(silos)
    bound = 2 * threshold - silos
    run = Round(Cast(silos)).until_uploads()
    for colluding in range(min(bound - 1, threshold - 2) + 1):
        assert not succeeds(run, colluding)
    if bound <= silos - 1:  # for three silos even all others would not be enough
        assert succeeds(run, bound)
    assert not succeeds(run, bound - 1)


@pytest.mark.parametrize("silos", range(3, 17))
def test_attack_split_survivor_set_of_values_off(silos: int) -> None:
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
