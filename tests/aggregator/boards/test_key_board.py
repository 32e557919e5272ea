"""M0 at the aggregator: requests and grants are kept, shown to whom they are for, and given once."""

import pytest

from privacy.errors import ProtocolError
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.requests import Phase
from privacy.wire.sets import key_request_digest
from tests.aggregator.hub import Hub


def test_key_requests_and_grants_are_kept_and_shown(hub: Hub) -> None:
    digest = hub.members.study.digest()
    for index in (2, 3):
        hub.submit(index, KeyRequest(digest, 1, index, bytes([index]) * 1216))
    hub.restart()
    assert [message.signer for message in hub.board(0, Phase.KEYS_REQUESTED).messages] == ["south", "east"]
    hub.submit(1, granted(hub, 2))
    assert hub.board(0, Phase.KEYS_GRANTED, index=2).reached, "it does not wait for the others'"
    assert not hub.board(0, Phase.KEYS_GRANTED, index=3).reached
    hub.submit(1, granted(hub, 3))
    before = hub.board(0, Phase.KEYS_GRANTED, index=3)
    hub.restart()
    assert hub.board(0, Phase.KEYS_GRANTED, index=3) == before
    assert len(before.messages) == 1
    assert not hub.board(0, Phase.KEYS_REQUESTED).messages
    assert hub.kinds() == ["key_material"] * 4


def granted(hub: Hub, receiver: int, giver: int = 1) -> KeyGrant:
    """A grant for the request that stands, of nothing."""
    announcement = hub.members.seal(1, KeyAnnounce(hub.members.study.digest(), 1, b"\1" * 32, b"\2" * 32))
    asked = hub.board(0, Phase.KEYS_REQUESTED).messages
    (request,) = (message for message in asked if message.signer == hub.members.of(receiver).member.name)
    return KeyGrant(announcement, giver, receiver, key_request_digest(request.body), b"sealed by %d" % giver)


def test_the_first_of_several_holders_that_grant_counts(hub: Hub) -> None:
    hub.submit(3, KeyRequest(hub.members.study.digest(), 1, 3, bytes(1216)))
    first, second = granted(hub, 3, 2), granted(hub, 3, 1)
    hub.submit(2, first)
    hub.submit(1, second)
    (shown,) = hub.board(0, Phase.KEYS_GRANTED, index=3).messages
    assert shown.signer == hub.members.of(2).member.name
    hub.restart()
    assert hub.board(0, Phase.KEYS_GRANTED, index=3).messages == (shown,)


def test_a_new_request_is_open_again_also_after_a_restart(hub: Hub) -> None:
    digest = hub.members.study.digest()
    hub.submit(3, KeyRequest(digest, 1, 3, bytes(1216)))
    stale = granted(hub, 3)
    hub.submit(1, stale)
    hub.submit(3, KeyRequest(digest, 1, 3, b"\1" * 1216))
    for _ in range(2):
        assert not hub.board(0, Phase.KEYS_GRANTED, index=3).reached
        assert hub.board(0, Phase.KEYS_REQUESTED).reached
        hub.restart()
    with pytest.raises(ProtocolError) as caught:
        hub.submit(1, stale)
    assert caught.value.code == "key.foreign_grant"


def test_who_is_attentive_hears_of_a_silo_that_waits_for_its_key(hub: Hub) -> None:
    assert not hub.board(1, Phase.ADVERTISED, index=1, attentive=True).wanted
    hub.submit(3, KeyRequest(hub.members.study.digest(), 1, 3, bytes(1216)))
    assert hub.board(1, Phase.ADVERTISED, 20_000, index=1, attentive=True).wanted
    assert not hub.board(1, Phase.ADVERTISED, index=1).wanted
    hub.submit(1, granted(hub, 3))
    assert not hub.board(1, Phase.ADVERTISED, index=1, attentive=True).wanted


def test_keys_for_others_are_refused(hub: Hub) -> None:
    digest = hub.members.study.digest()
    announcement = hub.members.seal(1, KeyAnnounce(digest, 1, b"\1" * 32, b"\2" * 32))
    for index, body, code in (
        (2, KeyRequest(digest, 1, 3, b"\1" * 1216), "key.foreign_request"),
        (2, KeyRequest(b"\1" * 32, 1, 2, b"\1" * 1216), "key.foreign_request"),
        (2, KeyGrant(announcement, 1, 3, b"\3" * 32, b"x"), "key.foreign_grant"),
        (1, KeyGrant(announcement, 1, 2, b"\3" * 32, b"x"), "key.foreign_grant"),
    ):
        with pytest.raises(ProtocolError) as caught:
            hub.submit(index, body)
        assert caught.value.code == code
