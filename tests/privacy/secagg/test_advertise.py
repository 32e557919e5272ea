"""U1 is what the roster signed, for this very context, with nobody's key twice; anything else stops the silo."""

from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError, IdentityError
from privacy.secagg import advertise
from privacy.secagg.faults import SiloFault
from privacy.secagg.round_keys import RoundSecrets, b_commitment
from privacy.wire.messages import Advertise
from privacy.wire.sets import advertise_set_digest
from tests.secure_round import Cast, Round


class Advertised:
    """Five silos have advertised; `altered` has one of them sign something else."""

    def __init__(self) -> None:
        self.run = Round(Cast(5))
        self.messages = self.run.advertise(self.run.cast.everyone)

    def body(self, silo: int) -> Advertise:
        return advertise.build(self.run.places[silo], self.run.secrets[silo])

    def altered(self, silo: int, **changes: object) -> tuple[Signed, ...]:
        signed = self.run.cast.seal(silo, replace(self.body(silo), **changes))  # type: ignore[arg-type]
        return tuple(signed if message.signer == f"silo-{silo}" else message for message in self.messages)

    def check(self, messages: tuple[Signed, ...], **arguments: object) -> advertise.AdvertiseSet:
        given = {"own": self.messages[0], **arguments}
        return advertise.check(self.run.places[1], messages, **given)  # type: ignore[arg-type]

    def refused(self, messages: tuple[Signed, ...], **arguments: object) -> str:
        with pytest.raises(CollegiumError) as caught:
            self.check(messages, **arguments)
        return caught.value.code


@pytest.fixture(scope="module")
def world() -> Advertised:
    return Advertised()


def test_an_honest_set(world: Advertised) -> None:
    checked = world.check(world.messages)
    assert checked.members == (1, 2, 3, 4, 5)
    assert checked.digest == advertise_set_digest(world.messages)
    assert checked.of(4) == world.body(4)
    assert checked.of(4).b_commit == b_commitment(world.run.ctx, 4, world.run.secrets[4].b)


def test_silos_may_be_missing_down_to_the_threshold(world: Advertised) -> None:
    assert world.check(world.messages[1:]).members == (2, 3, 4, 5)
    assert world.check(world.messages[1:], own=None).members == (2, 3, 4, 5)
    assert world.refused(world.messages[2:]) == "round.too_few"
    assert world.refused(()) == "round.too_few"


def test_another_context_is_a_split_view(world: Advertised) -> None:
    assert world.refused(world.altered(3, ctx=b"\7" * 32)) == "round.split_view"
    assert world.refused(world.altered(3, round_number=2)) == "round.split_view"
    earlier = Round(world.run.cast, number=2).advertise([3])[0]
    replayed = tuple(earlier if message.signer == "silo-3" else message for message in world.messages)
    assert world.refused(replayed) == "round.split_view"


def test_own_bytes_are_unchanged(world: Advertised) -> None:
    other = RoundSecrets.generate()
    changed = world.altered(1, pk_c=other.key_c.public_key)
    assert world.refused(changed) == "round.own_altered"
    assert world.check(changed, own=changed[0]).members[0] == 1


def test_keys_are_distinct(world: Advertised) -> None:
    """A silo cannot pass another's key off as its own, in either place."""
    assert world.refused(world.altered(3, pk_c=world.body(4).pk_c)) == "round.key_repeated"
    assert world.refused(world.altered(3, pk_s=world.body(4).pk_c)) == "round.key_repeated"
    assert world.refused(world.altered(3, pk_s=world.body(3).pk_c)) == "round.key_repeated"


def test_one_each_in_roster_order(world: Advertised) -> None:
    assert world.refused(world.messages[::-1]) == "round.set_order"
    assert world.refused((*world.messages[:2], world.messages[1], *world.messages[2:])) == "round.set_order"


def test_only_the_roster_and_only_what_it_signed(world: Advertised) -> None:
    stranger = replace(world.messages[2], signer="silo-9")
    assert world.refused((*world.messages[:2], stranger)) == "study.not_on_roster"
    posing = replace(world.messages[2], signer="silo-4")
    assert world.refused((*world.messages[:2], posing, world.messages[4])) == "identity.bad_signature"
    wrong_name = world.altered(3, silo_index=4)
    with pytest.raises(SiloFault) as caught:
        world.check(wrong_name)
    assert (caught.value.code, caught.value.silo) == ("round.wrong_name", 3)
    body = world.messages[2].body
    damaged = replace(world.messages[2], body=body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(IdentityError):
        world.check((*world.messages[:2], damaged, *world.messages[3:]))


def test_a_revoked_silo_is_not_let_in(world: Advertised) -> None:
    with pytest.raises(SiloFault) as caught:
        world.check(world.messages, revoked={4})
    assert (caught.value.code, caught.value.silo) == ("round.revoked", 4)
    without = tuple(message for message in world.messages if message.signer != "silo-4")
    assert world.check(without, revoked={4}).members == (1, 2, 3, 5)
