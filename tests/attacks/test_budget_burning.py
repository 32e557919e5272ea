"""Attack 13: an aggregator that lets silos train, takes the uploads and abandons the round, again and again.

Each time the budget of a round is spent for nothing. A silo pauses after two in a row and waits for a person.
"""

from pathlib import Path

import pytest

from aggregator.rounds.arriving import Arriving
from aggregator.rounds.setup import Abandoned
from aggregator.rounds.states import Uploading
from tests.attacks.stage import HidesRejects, codes, kinds, stage_of

ROUNDS = 4


class Burns(HidesRejects):
    """Ends every round as soon as all have uploaded."""

    def finish_upload(self, arriving: Arriving) -> None:
        with self._changed:
            super().finish_upload(arriving)
            number = arriving.upload.header.round_number
            if not isinstance(self._course.states[number], Uploading):
                self._course.move(number, Abandoned("bad_luck"))


def test_attack_budget_burning_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents, results = stage_of(tmp_path, monkeypatch, rounds=ROUNDS).play(Burns)
    assert codes(results) == {"round.abandoned"}
    assert [kinds(agent).count("reserved") for agent in agents] == [2, 2, 2]


@pytest.mark.slow
def test_attack_budget_burning_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silo that never pauses spends all that it has for no sum at all."""
    monkeypatch.setattr("silo_node.rounds.abandonment.ABANDONED_IN_A_ROW", 1000)
    agents, _ = stage_of(tmp_path, monkeypatch, rounds=ROUNDS).play(Burns)
    assert [kinds(agent).count("reserved") for agent in agents] == [ROUNDS] * 3
    assert all("survivors_signed" not in kinds(agent) for agent in agents)
