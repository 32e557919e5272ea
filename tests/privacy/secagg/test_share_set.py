"""U2 shared with all of U1, for the same keys; a silo opens what is for it and names whoever sealed something else."""

from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import CollegiumError
from privacy.secagg import hybrid, share_set, shares
from privacy.secagg.faults import SiloFault
from privacy.secagg.round_keys import pair_seed
from privacy.secagg.share_set import Received, ShareSet, box_info
from privacy.secagg.shares import Kind
from privacy.wire.messages import ShareBox, Shares
from privacy.wire.sets import share_set_digest
from tests.secure_round import Cast, Round


class Shared:
    """Five silos have shared; `altered` has one of them sign something else."""

    def __init__(self) -> None:
        self.run = Round(Cast(5))
        self.advertised = self.run.advertise(self.run.cast.everyone)
        self.messages = self.run.share(self.advertised, self.run.cast.everyone)
        self.bodies = {
            silo: share_set.build(self.run.places[silo], self.run.secrets[silo], self.run.advertise_set)
            for silo in self.run.cast.everyone
        }

    def altered(self, silo: int, **changes: object) -> tuple[Signed, ...]:
        signed = self.run.cast.seal(silo, replace(self.bodies[silo], **changes))  # type: ignore[arg-type]
        return tuple(signed if message.signer == f"silo-{silo}" else message for message in self.messages)

    def box(self, owner: int, holder: int, **changes: object) -> tuple[ShareBox, ...]:
        boxes = self.bodies[owner].boxes
        return tuple(replace(box, **changes) if box.receiver == holder else box for box in boxes)  # type: ignore[arg-type]

    def check(self, messages: tuple[Signed, ...], own: Signed | None = None) -> ShareSet:
        return share_set.check(self.run.places[1], messages, self.run.advertise_set, own or self.messages[0])

    def refused(self, messages: tuple[Signed, ...]) -> str:
        with pytest.raises(CollegiumError) as caught:
            self.check(messages)
        return caught.value.code

    def receive(self, messages: tuple[Signed, ...]) -> Received:
        return share_set.receive(self.run.places[1], self.check(messages), self.run.secrets[1])

    def culprit(self, messages: tuple[Signed, ...]) -> tuple[str, int]:
        with pytest.raises(SiloFault) as caught:
            self.receive(messages)
        return caught.value.code, caught.value.silo


@pytest.fixture(scope="module")
def world() -> Shared:
    return Shared()


def test_an_honest_set_opens(world: Shared) -> None:
    checked = world.check(world.messages)
    assert checked.members == (1, 2, 3, 4, 5)
    assert checked.digest == share_set_digest(world.messages)
    received = world.receive(world.messages)
    assert sorted(received.held.by_owner) == [1, 2, 3, 4, 5]
    for owner, seed in received.seeds.items():
        assert seed == pair_seed(world.run.secrets[owner].k, world.run.ctx, 1)
    assert "held" not in repr(received)


def test_shares_give_the_secrets(world: Shared) -> None:
    everywhere = {
        silo: share_set.receive(
            world.run.places[silo],
            share_set.check(world.run.places[silo], world.messages, world.run.advertise_set, None),
            world.run.secrets[silo],
        ).held.by_owner
        for silo in world.run.cast.everyone
    }
    for owner in world.run.cast.everyone:
        for half, secret in ((0, world.run.secrets[owner].b), (1, world.run.secrets[owner].k)):
            held = {holder: pairs[owner][half] for holder, pairs in everywhere.items()}
            assert shares.combine(held, world.run.cast.roster.threshold) == secret


def test_silos_may_be_missing_down_to_the_threshold(world: Shared) -> None:
    assert world.check(world.messages[:4]).members == (1, 2, 3, 4)
    assert world.refused(world.messages[:3]) == "round.too_few"
    with pytest.raises(RuntimeError, match="takes no part"):
        world.receive(world.messages[1:])


def test_other_keys_or_another_context_are_a_split_view(world: Shared) -> None:
    assert world.refused(world.altered(3, advertise_set=b"\7" * 32)) == "round.split_view"
    assert world.refused(world.altered(3, ctx=b"\7" * 32)) == "round.split_view"


def test_own_bytes_are_unchanged(world: Shared) -> None:
    """Even a second honest message of ours, with other shares, is not the one that was sent."""
    again = share_set.build(world.run.places[1], world.run.secrets[1], world.run.advertise_set)
    assert again != world.bodies[1]
    assert world.refused((world.run.cast.seal(1, again), *world.messages[1:])) == "round.own_altered"


def test_u2_is_within_u1(world: Shared) -> None:
    later = Round(world.run.cast)
    advertised = later.advertise((1, 2, 3, 4))
    shared = later.share(advertised, (1, 2, 3, 4))
    stray = replace(world.bodies[5], advertise_set=later.advertise_set.digest)
    with pytest.raises(CollegiumError) as caught:
        share_set.check(later.places[1], (*shared, later.cast.seal(5, stray)), later.advertise_set, shared[0])
    assert caught.value.code == "round.not_advertised"


def test_one_box_for_each(world: Shared) -> None:
    for boxes in (world.bodies[3].boxes[:4], world.bodies[3].boxes[1:]):
        assert world.culprit(world.altered(3, boxes=boxes)) == ("share.boxes", 3)


def test_whoever_sealed_something_else_is_named(world: Shared) -> None:
    run, bodies = world.run, world.bodies
    secret = run.secrets[1]
    honest = {box.receiver: box for box in bodies[3].boxes}[1]
    other = {box.receiver: box for box in bodies[4].boxes}[1]
    share_info, pair_info = (box_info(label, run.ctx, 3, 1) for label in ("share", "pair"))
    zeros = hybrid.seal(bytes(64), secret.key_c.public_key, share_info)
    unsealable = {
        "another owner's box": world.box(3, 1, box_c=other.box_c),
        "another receiver's box": world.box(3, 1, box_c=bodies[3].boxes[1].box_c),
        "damaged": world.box(3, 1, box_c=honest.box_c[:-1] + bytes([honest.box_c[-1] ^ 1])),
        "another context": world.box(
            3, 1, box_c=hybrid.seal(bytes(64), secret.key_c.public_key, box_info("share", b"x" * 32, 3, 1))
        ),
        "under another purpose": world.box(3, 1, box_c=hybrid.seal(bytes(64), secret.key_c.public_key, pair_info)),
        "another owner's seed": world.box(3, 1, box_s=other.box_s),
        "a damaged seed": world.box(3, 1, box_s=honest.box_s[:-1] + bytes([honest.box_s[-1] ^ 1])),
    }
    wrong = {
        "zeros": world.box(3, 1, box_c=zeros),
        "another commitment to b": world.box(3, 1, commit_b=other.commit_b),
        "another commitment to k": world.box(3, 1, commit_k=other.commit_k),
        "commitments swapped": world.box(3, 1, commit_b=honest.commit_k, commit_k=honest.commit_b),
    }
    for boxes in unsealable.values():
        assert world.culprit(world.altered(3, boxes=boxes)) == ("share.unsealable", 3)
    for boxes in wrong.values():
        assert world.culprit(world.altered(3, boxes=boxes)) == ("share.wrong", 3)


def test_what_was_sealed_for_others_stays_closed(world: Shared) -> None:
    checked = world.check(world.messages)
    box = checked.box(3, 2)
    for label, sealed, key in (("share", box.box_c, "key_c"), ("pair", box.box_s, "key_s")):
        with pytest.raises(CollegiumError) as caught:
            getattr(world.run.secrets[1], key).open(sealed, box_info(label, world.run.ctx, 3, 2))
        assert caught.value.code == "protocol.unsealable"


def test_commitments_are_looked_up_by_place(world: Shared) -> None:
    checked = world.check(world.messages)
    box = checked.box(2, 5)
    assert checked.commitment(Kind.B, 2, 5) == box.commit_b
    assert checked.commitment(Kind.K, 2, 5) == box.commit_k
    with pytest.raises(KeyError):
        checked.box(6, 1)


def test_boxes_look_alike(world: Shared) -> None:
    """Sizes tell nothing: all boxes of a kind are equally long, whoever they are for."""
    every: list[Shares] = list(world.bodies.values())
    assert len({(len(box.box_c), len(box.box_s)) for message in every for box in message.boxes}) == 1
