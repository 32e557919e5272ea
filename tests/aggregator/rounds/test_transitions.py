"""What a message makes of a round: sets that fill, answers that are final, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.rounds import deadlines, transitions
from aggregator.rounds.setup import Abandoned, Advertising, Sharing
from aggregator.rounds.states import Agreed, Closed, Folding, Published, State, Unmasked, Uploading
from privacy.errors import ProtocolError
from privacy.wire.messages import (
    UNOPENABLE,
    Close,
    Reject,
    Sign,
)
from tests.aggregator.rounds.made_up import (
    ALL,
    CTX,
    OTHER,
    OTHER_CHAIN,
    RULES,
    SHOWN,
    advertising,
    agreed,
    close,
    message,
    revealed,
    share_set_of,
    sharing,
    shown,
    unmask,
    unopenable,
    upload,
    uploading,
    uploads_of,
)


def test_the_last_silo_freezes_each_set() -> None:
    assert isinstance(advertising(2, 1, 4), Advertising)
    keys = advertising(2, 1, 4, 3)
    assert isinstance(keys, Sharing)
    assert list(keys.advertised) == [1, 2, 3, 4]
    assert isinstance(sharing(4, 1, 2), Sharing)
    assert isinstance(sharing(4, 1, 2, 3), Uploading)
    assert isinstance(agreed(*ALL), Agreed)
    assert isinstance(revealed(*ALL), Unmasked)


def test_the_last_upload_freezes_the_set() -> None:
    assert isinstance(uploading(2, 1, 4), Uploading)
    state = uploading(2, 1, 4, 3)
    assert isinstance(state, Folding)
    assert list(state.uploads) == [1, 2, 3, 4]


def test_t_silos_that_cannot_open_a_round_end_it() -> None:
    state = revealed(1, 2, 3, 4)
    for index in (1, 3):
        state = transitions.unopenable(state, index, unopenable(state), RULES)
        state = transitions.unopenable(state, index, unopenable(state), RULES)
    assert isinstance(transitions.unopenable(state, 4, unopenable(state, culprit=1), RULES), Unmasked)
    assert transitions.unopenable(state, 4, unopenable(state), RULES) == Abandoned(UNOPENABLE)


def test_a_silo_says_one_thing_of_how_a_round_ended() -> None:
    state = transitions.closed(revealed(1, 2, 3, 4), 1, message("close", 1), close(), RULES)
    with pytest.raises(ProtocolError, match="already said"):
        transitions.unopenable(state, 1, unopenable(state), RULES)
    state = transitions.unopenable(state, 2, unopenable(state), RULES)
    with pytest.raises(ProtocolError, match="already said"):
        transitions.unopenable(state, 2, unopenable(state, culprit=4), RULES)
    with pytest.raises(ProtocolError) as caught:
        transitions.closed(state, 2, message("close", 2), close(), RULES)
    assert caught.value.code == "close.contradicted"
    for index in (3, 4):
        state = transitions.closed(state, index, message("close", index), close(), RULES)
    assert isinstance(state, Closed)
    with pytest.raises(ProtocolError) as caught:
        transitions.unopenable(state, 2, unopenable(state), RULES)
    assert caught.value.code == "unopenable.unexpected"


@pytest.mark.parametrize("state", [uploading(*ALL), shown(1, 2, 3), agreed(1, 2, 3), Abandoned("no")])
def test_a_late_upload_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        transitions.check_header(state, upload(4, share_set_of(state)))
    assert caught.value.code == "upload.late"


@pytest.mark.parametrize("state", [advertising(1, 2, 4), sharing(1, 2, 4)])
def test_an_early_upload_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        transitions.check_header(state, upload(4, b"\1" * 32))
    assert caught.value.code == "upload.early"


def test_a_silo_that_shared_no_keys_cannot_upload() -> None:
    state = deadlines.tick(sharing(1, 2, 3), RULES, 20.0)
    with pytest.raises(ProtocolError) as caught:
        transitions.check_header(state, upload(4, share_set_of(state)))
    assert caught.value.code == "upload.not_member"
    for index in (1, 2, 3):
        state = transitions.uploaded(state, upload(index, share_set_of(state)))
    assert isinstance(state, Folding)


def test_a_share_set_that_differs_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        transitions.check_header(uploading(1), upload(2, b"h" * 32))
    assert caught.value.code == "round.split_view"


def test_the_first_header_of_a_silo_is_final_whether_its_frames_have_come_or_not() -> None:
    state = uploading()
    first, other = (upload(1, share_set_of(state), size=size) for size in (8, 9))
    begun = transitions.begun(state, first)
    assert uploads_of(begun) == {}
    assert transitions.begun(begun, first) == begun
    with pytest.raises(ProtocolError) as caught:
        transitions.begun(begun, other)
    assert caught.value.code == "upload.other_header"
    whole = transitions.uploaded(begun, first)
    for again in (first, other):
        with pytest.raises(ProtocolError) as caught:
            transitions.begun(whole, again)
        assert caught.value.code == "upload.repeated"


def test_a_silo_that_is_left_out_can_neither_sign_nor_reveal_but_close() -> None:
    with pytest.raises(ProtocolError, match="not among the survivors"):
        transitions.signed(shown(1, 2, 3), 4, message("sign", 4), Sign(CTX, 1, SHOWN), RULES, 0.0)
    with pytest.raises(ProtocolError, match="not among the survivors"):
        transitions.unmasked(agreed(1, 2, 3), 4, message("unmask", 4), unmask(4))
    state = revealed(1, 2, 3)
    for index in (1, 2, 4):
        state = transitions.closed(state, index, message("close", index), close(), RULES)
    assert isinstance(state, Closed)


def test_shares_for_another_list_or_other_shares_than_before_are_refused() -> None:
    state = transitions.unmasked(agreed(*ALL), 1, message("unmask", 1), unmask(1))
    assert transitions.unmasked(state, 1, message("unmask", 1), unmask(1)) == state
    with pytest.raises(ProtocolError) as caught:
        transitions.unmasked(state, 1, message("unmask", 1, 1), unmask(1))
    assert caught.value.code == "unmask.repeated"
    with pytest.raises(ProtocolError) as caught:
        transitions.unmasked(state, 2, message("unmask", 2), unmask(2, OTHER))
    assert caught.value.code == "survivors.unknown"
    for other in (shown(*ALL), revealed(*ALL)):
        with pytest.raises(ProtocolError) as caught:
            transitions.unmasked(other, 1, message("unmask", 1), unmask(1))
        assert caught.value.code == "unmask.unexpected"


@pytest.mark.parametrize("state", [shown(1, 2, 3, 4), agreed(1, 2, 3, 4)])
def test_a_second_different_signature_is_refused(state: State) -> None:
    first = transitions.signed(state, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)
    assert transitions.signed(first, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0) == first
    for survivors_hash in (SHOWN, OTHER):
        with pytest.raises(ProtocolError):
            transitions.signed(first, 1, message("sign", 1, 1), Sign(CTX, 1, survivors_hash), RULES, 0.0)


def test_a_late_signature_for_other_survivors_is_refused_after_agreement() -> None:
    with pytest.raises(ProtocolError) as caught:
        transitions.signed(agreed(1, 2, 3, 4), 4, message("sign", 4), Sign(CTX, 1, OTHER), RULES, 0.0)
    assert caught.value.code == "survivors.unknown"


def test_rejects_abandon_the_round_once_t_can_no_longer_sign() -> None:
    state = transitions.rejected(
        shown(1, 2, 3, 4), 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES
    )
    assert isinstance(state, Published)
    state = transitions.rejected(state, 2, message("reject", 2), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    assert state == Abandoned("rejected")


def test_a_silo_cannot_both_sign_and_reject() -> None:
    state = transitions.signed(shown(1, 2, 3, 4), 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)
    with pytest.raises(ProtocolError):
        transitions.rejected(state, 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES)
    state = transitions.rejected(
        shown(1, 2, 3, 4), 1, message("reject", 1), Reject(CTX, 1, SHOWN, "sum.refused"), RULES
    )
    with pytest.raises(ProtocolError):
        transitions.signed(state, 1, message("sign", 1), Sign(CTX, 1, SHOWN), RULES, 0.0)


@pytest.mark.parametrize("other", [close(chain=OTHER_CHAIN), close(mac=b"b" * 32)])
def test_a_close_that_differs_is_refused(other: Close) -> None:
    state = transitions.closed(revealed(1, 2, 3), 1, message("close", 1), close(), RULES)
    with pytest.raises(ProtocolError) as caught:
        transitions.closed(state, 2, message("close", 2), other, RULES)
    assert caught.value.code == "close.differs"


@pytest.mark.parametrize("state", [shown(1, 2, 3), agreed(1, 2, 3)])
def test_a_close_before_unmasking_is_refused(state: State) -> None:
    with pytest.raises(ProtocolError) as caught:
        transitions.closed(state, 1, message("close", 1), close(), RULES)
    assert caught.value.code == "close.early"


@given(st.permutations([1, 2, 3, 4]))
def test_the_order_of_uploads_does_not_matter(order: list[int]) -> None:
    assert uploads_of(uploading(*order)) == uploads_of(uploading(1, 2, 3, 4))
