"""The sum that was opened becomes the mean update's step, and the Close names it, before the model moves on."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from privacy.randomness import SecureStream
from privacy.secagg import chain as chains
from privacy.secagg.ranges import Ranges, public_bound
from privacy.secagg.survivors import CheckedSurvivors
from privacy.study import Study
from privacy.update import UpdateLayout
from privacy.wire.messages import Close, LedgerHead, Survivors
from silo_node.rounds.closing import Closing
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import OptimizerState
from tests.privacy.studies import study

LAYOUT = UpdateLayout((("weight", (4,)), ("bias", (1,))), metric_fields=2)
UPDATE = np.array([0.125, -0.0625, 0.0, 0.03125, -0.125])
CTX, HASH = b"c" * 32, b"h" * 32
HEADS = (LedgerHead(2, 5, b"r" * 32),)


@dataclass
class Around:
    """What a round's end needs of the silo, in the order in which it was asked."""

    done: list[str] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    told: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)

    def keep_close(self, close: Close) -> None:
        self.done.append("close kept")
        self.closes.append(close)

    def advance(self, model: GlobalModel) -> GlobalModel:
        self.done.append("advanced")
        return model

    def head(self) -> tuple[int, bytes]:
        return 9, b"s" * 32

    def heads(self) -> tuple[LedgerHead, ...]:
        return HEADS

    def say(self, event: str, round_number: int, **more: Any) -> None:
        self.told.append((event, round_number, more))


def closing(around: Around, signed: Study, secret: bytes = b"g" * 32) -> Closing:
    bound = public_bound(signed.privacy, signed.training)
    given = cast(Any, around)
    return Closing(signed, LAYOUT, bound, given, given, given, secret, given)


def model_before(number: int) -> GlobalModel:
    return GlobalModel(OptimizerState.initial(np.ones(5)), Ranges.first(2), number - 1, b"p" * 32)


def checked(*members: int) -> CheckedSurvivors:
    survivors = Survivors(CTX, 1, tuple((index, HASH) for index in members), (1,), (HASH,), HASH)
    return CheckedSurvivors(survivors, HASH, (b"",) * len(members), ())


def sums(signed: Study, *members: int) -> NDArray[np.int64]:
    """What opens when each member sends `UPDATE`, scaled by its index, at its weight."""
    bound, total = public_bound(signed.privacy, signed.training), np.zeros(LAYOUT.length, np.int64)
    quantiser = Ranges.first(2).quantiser(bound, LAYOUT.sizes, signed.encryption.bits)
    for index in members:
        weighted = UPDATE * index * signed.weight(signed.roster.silos[index - 1].name)
        total[LAYOUT.model] += quantiser.encode(weighted, SecureStream())[0]
    return total


@pytest.mark.parametrize("members", [(1, 2, 3), (1, 3)])
def test_the_mean_of_those_in_the_sum_is_the_step(members: tuple[int, ...]) -> None:
    signed, around = study(), Around()
    after = closing(around, signed).apply(model_before(1), sums(signed, *members), checked(*members), CTX)
    np.testing.assert_allclose(after.optimizer.weights, 1 + UPDATE * np.mean(members), atol=1e-3)
    assert (after.round_number, after.members) == (1, members)
    assert after.chain == chains.following(b"p" * 32, chains.Outcome.CLOSED, HASH)


def test_the_close_is_kept_before_the_model_moves_on_and_names_the_state() -> None:
    signed, around = study(), Around()
    after = closing(around, signed).apply(model_before(1), sums(signed, 1, 2, 3), checked(1, 2, 3), CTX)
    assert around.done == ["close kept", "advanced"]
    (close,) = around.closes
    assert (close.ctx, close.round_number, close.survivors_hash, close.chain) == (CTX, 1, HASH, after.chain)
    assert (close.ledger_size, close.ledger_root, close.witnessed) == (9, b"s" * 32, HEADS)


@pytest.mark.parametrize("other", ["sum", "secret", "state"])
def test_another_sum_state_or_group_gives_another_close(other: str) -> None:
    signed, around, opened, before = study(), Around(), np.zeros(LAYOUT.length, np.int64), model_before(1)
    closing(around, signed).apply(before, opened, checked(1, 2, 3), CTX)
    secret = b"x" * 32 if other == "secret" else b"g" * 32
    if other == "sum":
        opened = opened.copy()
        opened[LAYOUT.metrics] = 1
    if other == "state":
        before = replace(before, optimizer=OptimizerState.initial(np.zeros(5)))
    closing(around, signed, secret).apply(before, opened, checked(1, 2, 3), CTX)
    one, another = around.closes
    assert (one.sum_mac != another.sum_mac) is (other in ("sum", "secret"))
    assert (one.state_mac != another.state_mac) is (other in ("state", "secret"))


def test_the_round_after_the_last_moves_no_weight() -> None:
    signed, around = study(training={"rounds": 3, "local_steps": 1, "learning_rate": 0.5}), Around()
    before = model_before(4)
    after = closing(around, signed).apply(before, sums(signed, 1, 2, 3), checked(1, 2, 3), CTX)
    assert (after.optimizer, after.ranges, after.round_number) == (before.optimizer, before.ranges, 4)


def test_the_report_names_who_was_missing_and_how_much_was_sent() -> None:
    signed, around = study(), Around()
    before, opened = model_before(2), np.zeros(LAYOUT.length, np.int64)
    opened[LAYOUT.saturated] = (3, 4)
    steps = closing(around, signed)
    steps.report(steps.apply(before, opened, checked(1, 3), CTX), opened, 70)
    said = {"upload_bytes": 70, "saturated": 7, "silos": 2, "missing": "silo-b"}
    assert around.told == [("round_closed", 2, said)]
