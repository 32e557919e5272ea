"""M1 and M2 at the aggregator: who advertises, who shares, and when each set is frozen. Pure.

    Advertising --all silos, or deadline with >= t--> Sharing --all of U1, or deadline with >= t--> Setup

A set that is frozen is never frozen again; a silo's first message is final. Whether keys and shares are
in order is for the silos, which alone can open them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire.messages import Advertise, Shares
from privacy.wire.sets import advertise_set_digest, share_set_digest

Messages = Mapping[int, Signed]
"""Signed messages by roster index, ascending."""


@dataclass(frozen=True)
class Rules:
    """What of the signed study a round depends on; `silos` are those of the roster that are not revoked.

    `patience` bounds each exchange of small messages and `deadline` the time for training and uploading, and for the
    download of a sum while frames of it move; both in seconds and from the first message of the step.
    """

    silos: int
    threshold: int
    patience: float
    deadline: float


@dataclass(frozen=True)
class Advertising:
    """Round keys are taken; the patience runs from the first."""

    advertised: Messages = field(default_factory=dict)
    first_at: float | None = None


@dataclass(frozen=True)
class Sharing:
    """U1 is frozen and public since `at`; its silos send their shares."""

    advertised: Messages
    at: float
    shared: Messages = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """U1 and U2 are frozen and public."""

    advertised: Messages
    shared: Messages

    @cached_property
    def share_set(self) -> bytes:
        """The digest of U2, which every header names: of 64 silos' shares it is over 10 MB."""
        return share_set_digest(tuple(self.shared.values()))


@dataclass(frozen=True)
class Abandoned:
    """The round ended without a sum; its number is consumed and budgets stay spent."""

    reason: str


def advertised(state: object, message: Signed, body: Advertise, rules: Rules, now: float) -> Advertising | Sharing:
    """A silo advertised.

    Raises:
        ProtocolError: too late, or another message than before.
    """
    if not isinstance(state, Advertising):
        raise ProtocolError("this round takes no more round keys; wait for the next", code="round.late")
    if state.advertised.get(body.silo_index, message) != message:
        raise ProtocolError("this silo already advertised for the round", code="round.repeated")
    messages = _with(state.advertised, body.silo_index, message)
    if len(messages) == rules.silos and len(messages) >= rules.threshold:
        return Sharing(messages, now)
    return Advertising(messages, now if state.first_at is None else state.first_at)


def shared(state: object, message: Signed, body: Shares) -> Sharing | Setup:
    """A silo of U1 sent its shares.

    Raises:
        ProtocolError: not expected from it now, or for another AdvertiseSet.
    """
    if not isinstance(state, Sharing) or body.silo_index not in state.advertised:
        raise ProtocolError("this round takes no shares of this silo", code="round.late")
    if body.advertise_set != advertise_set_digest(tuple(state.advertised.values())):
        raise ProtocolError("these shares are for another advertise set", code="round.split_view")
    if state.shared.get(body.silo_index, message) != message:
        raise ProtocolError("this silo already shared for the round", code="round.repeated")
    messages = _with(state.shared, body.silo_index, message)
    if len(messages) == len(state.advertised):
        return Setup(state.advertised, messages)
    return Sharing(state.advertised, state.at, messages)


def without(
    state: Advertising | Sharing, revoked: frozenset[int], rules: Rules, now: float
) -> Advertising | Sharing | Abandoned:
    """Silos were revoked: their keys leave a set that still fills, and a frozen one that holds them ends the round.

    No silo would go on with such a set, and none has reserved budget for it yet. `rules` counts who is left.
    """
    if isinstance(state, Sharing):
        return Abandoned("silo_revoked") if revoked & state.advertised.keys() else state
    left = {index: message for index, message in state.advertised.items() if index not in revoked}
    if len(left) == rules.silos and len(left) >= rules.threshold:
        return Sharing(left, now)
    return Advertising(left, state.first_at)


def _with(messages: Messages, index: int, message: Signed) -> dict[int, Signed]:
    return dict(sorted({**messages, index: message}.items()))
