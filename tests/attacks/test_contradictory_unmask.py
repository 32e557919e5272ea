"""Attack 9: a silo is asked to unmask twice, for one list with the victim and one without.

Then both its secrets are out, and with G, which any one silo can give, the aggregator opens the victim's upload. A
silo answers one list: what it keeps after `reveal` cannot answer another, not after a restart, and not with the disk
of before its signature restored, since the round's secrets are not on that disk.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg import unmask
from privacy.secagg.masks import MaskKeys
from privacy.wire.messages import Unmask
from silo_node.rounds.agent import Agent
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.stored_upload import StoredUpload
from tests.attacks.coalition import Coalition, Memory, own_masks
from tests.attacks.stage import Stage, codes, stage_of
from tests.attacks.two_lists import Answers, ShowsTwoLists, dies_after
from tests.secure_round import Cast, Round, same

VICTIM = 2
WITH, WITHOUT = (1, 2, 3, 4, 5), (1, 3, 4, 5)


LAST = 4
"""The victim among running silos: it stands in one of the two lists."""


def backed_up(agent: Agent) -> None:
    """The silo's disk is copied when it has sent its upload; the silo is killed when it has revealed its shares."""
    upload = agent.client.upload

    def then_copied(stored: StoredUpload) -> int:
        sent = upload(stored)
        state = agent.runtime.parent
        shutil.copytree(state, state.with_name(f"backup-{agent._index}"), ignore=shutil.ignore_patterns("runtime"))
        return sent

    agent.client.upload = then_copied  # type: ignore[method-assign]
    dies_after(agent, Unmask)


def restored(agent: Agent) -> None:
    """The disk is as in the backup; what is in memory-backed storage is not on it, and is as it was."""
    state = agent.runtime.parent
    for path in state.with_name(f"backup-{agent._index}").iterdir():
        shutil.rmtree(state / path.name) if path.is_dir() else (state / path.name).unlink()
        path.rename(state / path.name)


def asked_twice(stage: Stage) -> np.ndarray | None:
    """All silos answer the list with the victim; then, their disks restored, they are shown the one without it.

    The victim's update, if the aggregator and silo 1, which gives G, have read it.
    """
    Memory.kept(stage.patch)
    answers = Answers(expected={True: 3, False: 4})
    hub = type("AsksTwice", (ShowsTwoLists,), {"answers": answers})
    agents, results = stage.play(hub, backed_up)
    assert codes(results) == {"Killed"}
    assert len(answers.unmasks[answers.digest(second=False)]) == 4
    coalition = Coalition(stage, agents[0])
    answers.second.update(("north", "south", "east"))
    for agent in agents:
        restored(agent)
    _, results = stage.play(hub, lambda agent: dies_after(agent, Unmask), silos=(1, 2, 3))
    # Their ledgers say nothing of a first list any more: they sign the second.
    assert codes(results) == {"Killed"}
    assert len(answers.signs[answers.digest(second=True)]) == 3
    with_victim, without = (
        coalition.recovered(members, digest := answers.digest(second=second), [*answers.unmasks[digest].values()])
        for second, members in ((False, (1, 2, 3, 4)), (True, (1, 2, 3)))
    )
    assert with_victim is not None
    if without is None:
        return None
    return coalition.update(LAST, own_masks(with_victim, without, LAST, (1, 2, 3, 4)))


def test_attack_contradictory_unmask_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They send what they sent before: the shares for any other list were erased before the first was answered."""
    assert asked_twice(stage_of(tmp_path, monkeypatch, silos=4)) is None


@pytest.mark.slow
def test_attack_contradictory_unmask_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silos that keep the shares, and make a new answer when asked again, open the victim."""
    stored = RoundVault.message
    monkeypatch.setattr(RoundVault, "forget_held", lambda _: None)
    monkeypatch.setattr(RoundVault, "message", lambda self, name: None if name == "unmask" else stored(self, name))
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    update = asked_twice(stage)
    assert update is not None
    np.testing.assert_allclose(update, LAST * 0.05 * np.linspace(-1, 1, 10), atol=1e-3)


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


def test_attack_contradictory_unmask_of_values_off() -> None:
    """Off: what is held is kept after the first answer."""
    run = Round(Cast(5)).until_uploads()
    keys = victims_keys(run, run.unmask(run.cast.everyone, WITH), run.unmask(run.cast.everyone, WITHOUT))
    assert same(run.without(run.masked[VICTIM], keys), run.plain[VICTIM])


def test_attack_contradictory_unmask_of_values_on() -> None:
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
