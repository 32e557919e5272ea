"""Attack 7, old AdvertiseSet: the aggregator shows the keys of the round before, whose secrets it got hold of since.

Each message is properly signed by a member. Whoever shares for these keys gives its shares to the attacker. The
context, which names the round and all before it, is in each message: nobody seals anything to an old key.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.secagg.advertise import AdvertiseSet
from privacy.secagg.place import Place
from privacy.secagg.share_set import box_info
from privacy.wire import bodies
from privacy.wire.messages import Advertise, Shares
from privacy.wire.requests import AwaitRequest, Board, Phase
from privacy.wire.sets import advertise_set_digest
from silo_node.rounds.agent import Agent
from tests.attacks.coalition import Memory, identity
from tests.attacks.stage import HidesRejects, codes, kinds, stage_of
from tests.attacks.two_lists import Killed

SEIZED = 2
"""The silo whose secrets of the first round the attacker has in the second."""


class ShowsOldKeys(HidesRejects):
    """In the second round, the AdvertiseSet of the first; what is shared for it is kept."""

    def shown(self, request: AwaitRequest, board: Board) -> Board:
        if (request.round_number, request.phase) != (2, Phase.ADVERTISED):
            return board
        return replace(board, messages=tuple(message for _, message in self._store.round(1).all("advertise")))

    def keeps_back(self, index: int, public_key: bytes, message: Signed) -> bool:
        if message.kind != bodies.kind_of(Shares):
            return super().keeps_back(index, public_key, message)
        if bodies.open_signed(message, Shares, public_key).round_number == 1:
            return False
        self._store.round(2).put(f"shares-{index}", message)
        return True


def dies_after_sharing(agent: Agent) -> None:
    """The silo stops when it has shared in the second round: nothing would follow."""
    submit = agent.client.submit

    def last(message: Signed) -> None:
        submit(message)
        if (
            message.kind == bodies.kind_of(Shares)
            and bodies.open_signed(message, Shares, agent.identity.keys.public_identity).round_number == 2
        ):
            raise Killed

    agent.client.submit = last  # type: ignore[method-assign]


def test_attack_old_advertise_set_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path, monkeypatch)
    agents, results = stage.play(ShowsOldKeys, dies_after_sharing)
    assert codes(results) <= {"round.split_view", "round.own_altered"}
    assert not list(stage.store(2).all("shares"))
    assert [kinds(agent).count("reserved") for agent in agents] == [1, 1, 1]


@pytest.mark.slow
def test_attack_old_advertise_set_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silos that check signatures alone seal their shares to a key that the attacker has."""
    memory = Memory.kept(monkeypatch)
    stage = stage_of(tmp_path, monkeypatch)

    def signed_by_members(place: Place, messages: Sequence[Signed], *_: object) -> AdvertiseSet:
        bodies_of = (
            bodies.open_signed(message, Advertise, bytes.fromhex(place.roster.silos[index].identity))
            for index, message in enumerate(messages)
        )
        return AdvertiseSet(advertise_set_digest(messages), tuple(bodies_of))

    monkeypatch.setattr("silo_node.rounds.key_exchange.advertise.check", signed_by_members)
    agents, results = stage.play(ShowsOldKeys, dies_after_sharing)
    assert codes(results) == {"Killed"}
    seized = memory.secrets[SEIZED][0]
    for owner, message in stage.store(2).all("shares"):
        shares = bodies.open_signed(message, Shares, identity(agents[0].study, owner))
        box = next(box for box in shares.boxes if box.receiver == SEIZED)
        assert len(seized.key_c.open(box.box_c, box_info("share", shares.ctx, owner, SEIZED))) == 64
