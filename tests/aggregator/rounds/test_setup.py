"""Keys and shares count for the set that was shown."""

import pytest

from aggregator.rounds import deadlines, setup
from aggregator.rounds.setup import Sharing
from privacy.errors import ProtocolError
from privacy.wire.sets import advertise_set_digest
from tests.aggregator.rounds.made_up import (
    RULES,
    advertising,
    message,
    shares,
)


def test_shares_for_another_advertise_set_or_of_a_silo_that_did_not_advertise_are_refused() -> None:
    state = deadlines.tick(advertising(1, 2, 3), RULES, 20.0)
    assert isinstance(state, Sharing)
    with pytest.raises(ProtocolError) as caught:
        setup.shared(state, message("shares", 1), shares(1, b"h" * 32))
    assert caught.value.code == "round.split_view"
    with pytest.raises(ProtocolError) as caught:
        setup.shared(state, message("shares", 4), shares(4, advertise_set_digest(tuple(state.advertised.values()))))
    assert caught.value.code == "round.late"
