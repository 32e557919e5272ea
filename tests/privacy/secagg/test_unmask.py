"""Unmasking takes t right shares of each secret, names who sends others, and ends the round when none are enough."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, ProtocolError
from privacy.secagg import unmask
from privacy.secagg.faults import SiloFault
from privacy.secagg.held_shares import RevealedShares
from privacy.secagg.unmask import WORTH_A_FORK
from privacy.wire import bodies
from privacy.wire.messages import Unmask
from tests.secure_round import Cast, Round, same

ALIVE = (1, 2, 3, 4, 5)
"""Silo 6 drops out after sharing; the roster's threshold is 5."""


class Uploaded:
    """Six silos, five uploads, and the honest UnmaskSet of all six."""

    def __init__(self) -> None:
        self.run = Round(Cast(6)).until_uploads(ALIVE)
        self.total = self.run.masked_sum(ALIVE)
        self.messages = self.run.unmask(self.run.cast.everyone, ALIVE)

    def revealed(self, silo: int) -> RevealedShares:
        return self.run.received[silo].held.reveal(ALIVE)

    def resealed(self, silo: int, revealed: RevealedShares) -> Signed:
        digest = self.run.survivors_hash(ALIVE)
        body = unmask.build(self.run.places[silo], self.run.cast.group_secret, digest, revealed)
        return self.run.cast.seal(silo, body)

    def with_message(self, silo: int, message: Signed) -> tuple[Signed, ...]:
        return tuple(message if old.signer == f"silo-{silo}" else old for old in self.messages)

    def body(self, silo: int) -> Unmask:
        identity = bytes.fromhex(self.run.cast.roster.silos[silo - 1].identity)
        return bodies.open_signed(self.messages[silo - 1], Unmask, identity)


@pytest.fixture(scope="module")
def world() -> Uploaded:
    return Uploaded()


def test_honest_shares_open(world: Uploaded) -> None:
    recovered = world.run.recover(world.messages, ALIVE)
    assert recovered.faults == {}
    assert same(world.run.opened(world.total, recovered), world.run.plain_sum(ALIVE))
    # Five self masks; the pairs of 6 with 1 to 5 are left, each added in the upload of the earlier silo.
    assert (len(recovered.keys.plus), len(recovered.keys.minus)) == (10, 0)


def cut(revealed: RevealedShares) -> RevealedShares:
    return replace(revealed, shares=(*revealed.shares[:-1], revealed.shares[-1][:31]))


def swap(revealed: RevealedShares) -> RevealedShares:
    return replace(revealed, shares=(revealed.shares[1], revealed.shares[0], *revealed.shares[2:]))


def flip(revealed: RevealedShares) -> RevealedShares:
    first = bytes([revealed.shares[0][0] ^ 1]) + revealed.shares[0][1:]
    return replace(revealed, shares=(first, *revealed.shares[1:]))


def fewer(revealed: RevealedShares) -> RevealedShares:
    return replace(revealed, owners=revealed.owners[:-1], shares=revealed.shares[:-1])


@pytest.mark.parametrize("alter", [cut, swap, flip, fewer])
def test_one_wrong_share_is_named_and_changes_nothing(
    world: Uploaded, alter: Callable[[RevealedShares], RevealedShares]
) -> None:
    messages = world.with_message(2, world.resealed(2, alter(world.revealed(2))))
    recovered = world.run.recover(messages, ALIVE)
    assert recovered.faults == {2: "share.wrong"}
    assert recovered.keys == world.run.recover(world.messages, ALIVE).keys


def test_wrong_messages_are_named_and_change_nothing(world: Uploaded) -> None:
    run, body = world.run, world.body(2)
    other_round = Round(run.cast, number=2).until_uploads(ALIVE)
    cases = {
        "unmask.other_survivors": replace(body, survivors_hash=b"\7" * 32),
        "unmask.other_round": replace(body, ctx=b"\7" * 32),
        "unmask.unsealable": replace(body, sealed=world.body(3).sealed),
    }
    for code, altered in cases.items():
        recovered = run.recover(world.with_message(2, run.cast.seal(2, altered)), ALIVE)
        assert recovered.faults == {2: code}
        assert recovered.keys == run.recover(world.messages, ALIVE).keys
    for altered in (replace(body, silo_index=3), replace(body, round_number=2)):
        recovered = run.recover(world.with_message(2, run.cast.seal(2, altered)), ALIVE)
        assert recovered.faults == {2: "unmask.other_round"}
    replayed = other_round.unmask((2,), ALIVE)[0]
    assert run.recover(world.with_message(2, replayed), ALIVE).faults == {2: "unmask.other_round"}


def test_a_foreign_share_is_named(world: Uploaded) -> None:
    """Silo 2 sends what silo 3 holds: right shares, at the wrong place."""
    messages = world.with_message(2, world.resealed(2, world.revealed(3)))
    assert world.run.recover(messages, ALIVE).faults == {2: "share.wrong"}


def test_too_few_right_shares_end_the_round(world: Uploaded) -> None:
    messages = world.with_message(2, world.resealed(2, flip(world.revealed(2))))[:5]
    with pytest.raises(ProtocolError) as caught:
        world.run.recover(messages, ALIVE)
    assert caught.value.code == "unmask.too_few"


def test_a_message_counts_once(world: Uploaded) -> None:
    with pytest.raises(ProtocolError) as caught:
        world.run.recover((*world.messages, world.messages[0]), ALIVE)
    assert caught.value.code == "round.set_order"


def test_only_the_roster_is_heard(world: Uploaded) -> None:
    for signer, code in (("silo-9", "study.not_on_roster"), ("silo-3", "identity.bad_signature")):
        with pytest.raises(CollegiumError) as caught:
            world.run.recover(world.with_message(2, replace(world.messages[1], signer=signer)), ALIVE)
        assert caught.value.code == code


def test_a_silo_that_did_not_share_holds_nothing() -> None:
    run = Round(Cast(6))
    run.receive(run.share(run.advertise(run.cast.everyone), ALIVE))
    run.upload(ALIVE)
    digest = run.survivors_hash(ALIVE)
    revealed = run.received[1].held.reveal(ALIVE)
    stray = run.cast.seal(6, unmask.build(run.places[6], run.cast.group_secret, digest, revealed))
    recovered = run.recover((*run.unmask(ALIVE, ALIVE), stray), ALIVE)
    assert recovered.faults == {6: "unmask.other_round"}
    assert same(run.opened(run.masked_sum(ALIVE), recovered), run.plain_sum(ALIVE))


@pytest.mark.parametrize(("owner", "secret"), [(1, "b"), (6, "k")])
def test_an_owner_with_two_truths_is_named(owner: int, secret: str) -> None:
    """It advertised one secret and shared another, with right commitments: nobody could see it before."""
    run = Round(Cast(6))
    advertised = run.advertise(run.cast.everyone)
    honest = run.secrets[owner]
    run.secrets[owner] = replace(honest, **{secret: bytes(32)})
    if secret == "k":
        run.secrets[owner].__dict__["key_s"] = honest.key_s  # opens what was sealed to the advertised key
    run.receive(run.share(advertised, run.cast.everyone))
    run.upload(ALIVE)
    with pytest.raises(SiloFault) as caught:
        run.recover(run.unmask(run.cast.everyone, ALIVE), ALIVE)
    assert (caught.value.code, caught.value.silo) == ("share.inconsistent", owner)


def test_the_aggregator_cannot_open_what_is_revealed(world: Uploaded) -> None:
    """Sealed under the group's key for this round and these survivors: neither another key nor digest opens it."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    body = world.body(2)
    with pytest.raises(InvalidTag):
        AESGCM(bytes(32)).decrypt((2).to_bytes(12, "big"), body.sealed, body.survivors_hash)
    shares = world.revealed(2).shares
    assert not any(share in world.messages[1].body for share in shares)


def test_survivors_are_within_the_share_set(world: Uploaded) -> None:
    with pytest.raises(ValueError, match="survivors"):
        world.run.recover(world.messages, (1, 2, 7))


def test_workers_recover_what_one_process_recovers() -> None:
    run = Round(Cast(WORTH_A_FORK), length=2).until_uploads()
    everyone = run.cast.everyone
    messages = run.unmask(everyone, everyone[1:])
    alone, together = (run.recover(messages, everyone[1:], processes=processes) for processes in (1, 3))
    assert alone == together
    assert len(together.keys.plus + together.keys.minus) == 2 * (WORTH_A_FORK - 1)
