"""What silos do together in a round, and how it ended."""

from privacy.channel.envelope import Signed
from privacy.wire import bodies
from privacy.wire.messages import Abandon
from privacy.wire.requests import Phase
from tests.aggregator.hub import Hub


def finish(hub: Hub, number: int, silos: tuple[int, ...] = (1, 2, 3)) -> None:
    """From published survivors to the round's end."""
    agree(hub, number, silos)
    for index in silos:
        hub.close(index, number)


def agree(hub: Hub, number: int = 1, silos: tuple[int, ...] = (1, 2, 3)) -> None:
    """From published survivors to a sum that silos can open."""
    for index in silos:
        hub.sign(index, number)
    for index in silos:
        hub.unmask(index, number)


def opened(hub: Hub, message: Signed, kind: type[bodies.BodyT]) -> bodies.BodyT:
    return bodies.open_signed(message, kind, hub.members.hub.keys.public_identity)


def ended(hub: Hub, number: int = 1) -> str:
    """Why the round was abandoned, as everybody is told; the next one is open."""
    board = hub.board(number, Phase.CLOSED)
    assert board.phase == Phase.ABANDONED
    assert hub.coordinator.progress() == (number + 1, Phase.KEYS_GRANTED)
    assert hub.kinds()[-1] == "closed"
    assert hub.ledger.entries[-1].body["outcome"] == "abandoned"
    return opened(hub, board.messages[0], Abandon).reason


def await_round(hub: Hub, *silos: int, number: int = 1) -> None:
    """Silos, all of them unless named, wait for the others' keys."""
    for index in silos or hub.everyone:
        assert hub.board(number, Phase.ADVERTISED, milliseconds=1, index=index).reached is False
