"""Rounds that are long over leave the memory, and are read as they were when somebody asks."""

import pytest

from aggregator.rounds.recovery import Recovery
from aggregator.rounds.round_states import KEPT, RoundStates
from aggregator.rounds.setup import Abandoned, Advertising
from aggregator.rounds.states import Closed, State
from privacy.wire.requests import Phase
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members

ROUNDS = 5


def test_the_newest_are_held_and_the_others_read_once_in_a_row() -> None:
    asked: list[int] = []

    def read(number: int) -> State:
        asked.append(number)
        return Abandoned(str(number))

    states = RoundStates(read)
    assert (list(states), len(states), 1 in states) == ([], 0, False)
    for number in range(1, 8):
        states[number] = Advertising(first_at=number)
    assert list(states) == [1, 2, 3, 4, 5, 6, 7]
    assert [states[number] for number in (5, 6, 7)] == [Advertising(first_at=number) for number in (5, 6, 7)]
    assert not asked
    assert (states[4], states[4], states[1], states[4]) == tuple(Abandoned(str(number)) for number in (4, 4, 1, 4))
    assert asked == [4, 1, 4]
    states[4] = Abandoned("stored anew")
    assert states[4] == Abandoned("4")
    for missing in (0, 8, -1):
        assert missing not in states
        with pytest.raises(KeyError):
            states[missing]
    with pytest.raises(RuntimeError):
        del states[7]


def closed(hub: Hub, number: int) -> None:
    hub.upload_all(number)
    hub.work()
    for step in (hub.sign, hub.unmask, hub.close):
        for index in hub.everyone:
            step(index, number)


def abandoned(hub: Hub, number: int) -> None:
    hub.advertise(1, number)
    hub.now += 1000
    hub.work(2)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, members: Members) -> Hub:
    hub = Hub(tmp_path_factory.mktemp("hub"), members)
    for number in range(1, ROUNDS + 1):
        (abandoned if number == 2 else closed)(hub, number)
    return hub


def test_a_round_long_over_is_shown_as_it_was(past: Hub) -> None:
    states = past.coordinator._course.states
    assert len(states) == ROUNDS + 1
    assert sorted(states._newest) == list(range(ROUNDS + 2 - KEPT, ROUNDS + 2))
    before = {phase: past.board(1, phase) for phase in Phase if Phase.ADVERTISED <= phase <= Phase.CLOSED}
    assert all((board.reached and board.messages) or phase is Phase.UPLOADING for phase, board in before.items())
    assert past.board(2, Phase.CLOSED).phase is Phase.ABANDONED
    past.restart()
    assert before == {phase: past.board(1, phase) for phase in before}
    assert isinstance(past.coordinator._course.states[1], Closed)


def test_a_start_reads_the_newest_and_what_the_ledger_lacks(past: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = Recovery._round

    def counted(self: Recovery, number: int, store: object) -> State:
        read.append(number)
        return whole(self, number, store)  # type: ignore[arg-type]

    monkeypatch.setattr(Recovery, "_round", counted)
    past.restart()
    assert read == list(range(ROUNDS + 1 - KEPT, ROUNDS + 1))
    read.clear()
    entered = past.coordinator._records.ended_rounds()
    assert entered == frozenset(range(1, ROUNDS + 1))
    monkeypatch.setattr("aggregator.records.Records.ended_rounds", lambda _: entered - {1})
    past.restart()
    assert read == [1, *range(ROUNDS + 1 - KEPT, ROUNDS + 1)]


def test_a_late_close_of_a_round_long_over_counts(past: Hub) -> None:
    closes = past.board(1, Phase.CLOSED).messages
    past.close(3, 1)
    assert past.board(1, Phase.CLOSED).messages == closes
    assert past.coordinator._course.newest == ROUNDS + 1
