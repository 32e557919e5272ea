"""Whose messages are taken in whose place: a silo speaks for itself alone, whatever index its message names."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from privacy.errors import ProtocolError
from privacy.wire import bodies
from privacy.wire.heads import HeadAnswer
from privacy.wire.keys import KeyRequest
from privacy.wire.messages import Advertise, Shares, Unmask, UploadHeader
from privacy.wire.snapshots import SnapshotOffer, SnapshotRequest
from tests import stored
from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import context
from tests.aggregator.rounds.steps import finish

SENDER, NAMED = 1, 2


def nothing(hub: Hub) -> None:
    """A round that was just opened."""


def advertised(hub: Hub) -> None:
    for index in hub.everyone:
        hub.advertise(index)


def signed(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    for index in hub.everyone:
        hub.sign(index)


def snapshot_wanted(hub: Hub) -> None:
    hub.upload_all()
    hub.work()
    finish(hub, 1)
    hub.submit(3, SnapshotRequest(hub.members.study.digest(), 3, 1))


def said(step: Callable[[Hub], Callable[[int], None]]) -> Callable[[Hub], Any]:
    """What a silo sends in one of the hub's steps."""

    def body(hub: Hub) -> Any:
        sent: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hub, "submit", lambda _, body: sent.append(body))
            step(hub)(NAMED)
        return sent[0]

    return body


Case = tuple[Callable[[Hub], None], Callable[[Hub], Any], str]
CASES: dict[type[Any], Case] = {
    Advertise: (nothing, said(lambda hub: hub.advertise), "protocol.foreign_signer"),
    Shares: (advertised, said(lambda hub: hub.share), "protocol.foreign_signer"),
    Unmask: (signed, said(lambda hub: hub.unmask), "protocol.foreign_signer"),
    UploadHeader: (Hub.set_up, lambda hub: MadeUpUpload.random(hub, NAMED).header, "upload.foreign"),
    KeyRequest: (
        nothing,
        lambda hub: KeyRequest(hub.members.study.digest(), 1, NAMED, bytes(1216)),
        "key.foreign_request",
    ),
    SnapshotRequest: (
        nothing,
        lambda hub: SnapshotRequest(hub.members.study.digest(), NAMED, 1),
        "snapshot.foreign_request",
    ),
    SnapshotOffer: (
        snapshot_wanted,
        lambda _: SnapshotOffer(context(1), 1, NAMED, b"\7" * 32, b"\6" * 32, 84, (b"d" * 32,)),
        "protocol.foreign_signer",
    ),
}


def test_every_message_that_names_its_silo_is_tried_here() -> None:
    named = {kind for kind in get_args(bodies.Body) if "silo_index" in kind.__dataclass_fields__}
    assert named - {HeadAnswer} == CASES.keys(), "a HeadAnswer is the aggregator's, and names who asked"


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_a_silo_takes_no_other_place_than_its_own(hub: Hub, kind: type[Any]) -> None:
    """Or a member could keep another out of the round, or take part in it twice."""
    prepare, made, code = CASES[kind]
    prepare(hub)
    body = made(hub)
    assert isinstance(body, kind)
    send = hub.begin if kind is UploadHeader else hub.submit
    before = (stored.content(hub.root / "study"), hub.kinds(), hub.coordinator.progress())
    with pytest.raises(ProtocolError) as caught:
        send(SENDER, body)
    assert caught.value.code == code
    assert (stored.content(hub.root / "study"), hub.kinds(), hub.coordinator.progress()) == before
    send(NAMED, body)
    assert stored.content(hub.root / "study") != before[0], "in its own place it is taken"
