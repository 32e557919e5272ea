"""Each invariant fails where what it guards is taken out of the programs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import aggregator.rounds.deadlines
from privacy.channel import tls
from privacy.secagg.survivors import CheckedSurvivors
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.sending import Sending
from silo_node.witnessing.seen_heads import SeenHeads
from tests.simulation.conftest import Stage
from tests.simulation.consortium import NAMES
from tests.simulation.operations import Expire, Kill, Leave, Operation, Restore
from tests.simulation.silo import MarkingLearner, NotedClosing


def breaks(stage: Stage, finding: str, *operations: Operation) -> None:
    play = stage(4, 1)
    with pytest.raises(AssertionError, match=finding):
        play(operations)


def test_a_debit_that_is_left_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    add = RoundRecords.add

    def forgetful(records: RoundRecords, kind: str, round_number: int, **more: Any) -> None:
        if kind != "reserved":
            add(records, kind, round_number, **more)

    monkeypatch.setattr(RoundRecords, "add", forgetful)
    breaks(stage, "reads patients for round 1 before it is charged")


def test_an_update_that_leaves_before_it_is_spent(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    add = RoundRecords.add
    monkeypatch.setattr(
        RoundRecords, "add", lambda self, kind, number, **more: kind == "spent" or add(self, kind, number, **more)
    )
    breaks(stage, "sends an update of round 1 that is not spent")


def test_a_round_that_is_trained_again_after_a_kill(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    has = RoundRecords.has
    forgotten = ("round_opened", "reserved")
    monkeypatch.setattr(
        RoundRecords, "has", lambda self, kind, number: kind not in forgotten and has(self, kind, number)
    )
    breaks(stage, r"silo 2 has 'round_opened' \d+ times for round 1", Kill(party=2, step=70))


def test_a_silo_that_counts_twice(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = MarkingLearner.evaluate

    def doubling(learner: MarkingLearner, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        return evaluate(learner, weights) * (2 if learner._index == 2 else 1)

    monkeypatch.setattr(MarkingLearner, "evaluate", doubling)
    breaks(stage, "silo 1 opened 10001 in round 1, not 1111")


def test_a_silo_that_goes_on_with_another_model(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = NotedClosing.apply

    def otherwise(
        closing: NotedClosing, model: GlobalModel, sums: Any, checked: CheckedSurvivors, ctx: bytes
    ) -> GlobalModel:
        applied = apply(closing, model, sums, checked, ctx)
        if closing.silo != 3:
            return applied
        return replace(applied, optimizer=replace(applied.optimizer, weights=applied.optimizer.weights + 1))

    monkeypatch.setattr(NotedClosing, "apply", otherwise)
    breaks(stage, "silos finished with different models")


def test_a_wait_without_an_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregator.rounds.deadlines, "due_at", lambda *_: None)
    breaks(stage, "wait for ever", Leave(silo=4, step=60))


def test_a_charge_that_others_know_of_and_nobody_asks_them(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeenHeads, "heed", lambda *_: None)
    history = (Restore(0, 1, 63), Restore(2, 1, 92))
    with pytest.raises(AssertionError, match="silo 2 trains round 2, and its ledger has forgotten the charge of"):
        stage(4, 2, False, 5)(history)


def test_a_silo_that_stays_away_and_says_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = Sending.is_frozen

    def away(sending: Sending, number: int) -> bool:
        return sending.client._identity.member.name == NAMES[1] or frozen(sending, number)

    monkeypatch.setattr(Sending, "is_frozen", away)
    breaks(stage, "silo 2 is not in the sum of round 1 and its ledger does not say why")


def test_a_renewed_certificate_that_is_not_served(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls._Renewed, "__call__", lambda _: None)
    breaks(stage, r"silos \[2\] wait for ever.*'peer.certificate_expired'", Expire(0, 1, 60), Kill(2, 70))
