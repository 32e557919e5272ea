"""Whose upload is taken, and when: a silo's own, once, in a round that is open and as the others see it."""

import pytest

from privacy.errors import IdentityError, ProtocolError, StudyError
from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload
from tests.aggregator.members import Members, context
from tests.aggregator.serving.uploads.streams import refused


def test_uploads_are_taken_only_of_silos_that_shared_and_after_they_did(large: Hub) -> None:
    upload = MadeUpUpload.random(large, 1)
    with pytest.raises(ProtocolError) as caught:
        large.upload(upload)
    assert caught.value.code == "upload.early"
    large.set_up(silos=(1, 2, 3))
    with pytest.raises(ProtocolError) as caught:
        large.upload(MadeUpUpload.random(large, 4))
    assert caught.value.code == "upload.not_member"


def test_a_silo_cannot_upload_for_another(hub: Hub) -> None:
    upload = MadeUpUpload.random(hub, 2)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(upload, sender=1)
    assert caught.value.code == "upload.foreign"
    with pytest.raises(ProtocolError) as caught:
        hub.stream(1, upload.parts(hub.members.seal(2, upload.header)))
    assert caught.value.code == "protocol.foreign_signer"


def test_a_header_with_a_broken_signature_is_refused(hub: Hub, upload: MadeUpUpload) -> None:
    signed = hub.members.seal(2, upload.header)
    forged = signed.__class__(signed.kind, signed.body, hub.members.of(1).member.name, signed.signature)
    with pytest.raises(IdentityError):
        hub.stream(1, upload.parts(forged))


def test_a_repeat_is_refused_and_changes_nothing(hub: Hub, upload: MadeUpUpload) -> None:
    hub.upload(upload)
    before = hub.store.round(1).frame(1, 0)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(MadeUpUpload.random(hub, 1, seed=5))
    assert caught.value.code == "upload.repeated"
    assert hub.store.round(1).frame(1, 0) == before


def test_another_context_or_share_set_is_refused_and_blocks_nobody(hub: Hub, upload: MadeUpUpload) -> None:
    hub.upload(upload)
    other = MadeUpUpload.random(hub, 2)
    with pytest.raises(ProtocolError) as caught:
        hub.upload(other.with_header(ctx=context(9)))
    assert caught.value.code == "round.split_view"
    with pytest.raises(ProtocolError) as caught:
        hub.upload(other.with_header(share_set=b"\3" * 32))
    assert caught.value.code == "round.split_view"
    hub.upload(other)


@pytest.mark.parametrize("number", [2, 3, 1_000_000])
def test_a_round_that_is_not_open_takes_nothing(hub: Hub, upload: MadeUpUpload, number: int) -> None:
    assert refused(hub, upload.with_header(round_number=number)) == "round.not_open"
    assert not hub.stored(f"rounds/{number:06d}/*")


def test_a_stranger_is_refused(hub: Hub, upload: MadeUpUpload, four: Members) -> None:
    stranger = Hub(
        hub.root / "other",
        Members(
            hub.members.hub,
            hub.members.silos[:2] + four.silos[3:],
            hub.members.study,
            four.consortium,
            hub.members.statement,
        ),
    )
    with pytest.raises(StudyError):
        stranger.upload(MadeUpUpload.random(hub, 3))
