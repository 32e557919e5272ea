"""Attack 10: a silo reveals a wrong, a short or another silo's share, or seals one to a peer.

Without commitments one wrong share turns the round's sum into noise and nobody knows whose it was. With them the
culprit is named; with t others the sum is exact, with fewer the round is abandoned.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg import share_set, shares, unmask
from privacy.secagg.advertise import AdvertiseSet
from privacy.secagg.faults import SiloFault
from privacy.secagg.held_shares import RevealedShares
from privacy.secagg.masks import MaskKeys
from privacy.secagg.place import Place
from privacy.secagg.round_keys import RoundSecrets, self_key
from privacy.wire.messages import Shares
from tests.attacks.stage import codes, incidents, kinds, stage_of
from tests.secure_round import Cast, Round, same

CULPRIT = 2

Wrong = Callable[[Round], RevealedShares]


def revealed(run: Round, silo: int) -> RevealedShares:
    return run.received[silo].held.reveal(run.cast.everyone)


def altered(run: Round) -> RevealedShares:
    honest = revealed(run, CULPRIT)
    return replace(honest, shares=(bytes(32), *honest.shares[1:]))


def short(run: Round) -> RevealedShares:
    honest = revealed(run, CULPRIT)
    return replace(honest, shares=(honest.shares[0][:16], *honest.shares[1:]))


def foreign(run: Round) -> RevealedShares:
    return revealed(run, 3)


def submitted(run: Round, wrong: Wrong) -> tuple[Signed, ...]:
    """Everybody's messages, the culprit's with wrong shares."""
    digest = run.survivors_hash(run.cast.everyone)
    body = unmask.build(run.places[CULPRIT], run.cast.group_secret, digest, wrong(run))
    honest = run.unmask(run.cast.everyone, run.cast.everyone)
    return tuple(run.cast.seal(CULPRIT, body) if m.signer == f"silo-{CULPRIT}" else m for m in honest)


@pytest.mark.parametrize("wrong", [altered, foreign])
def test_without_commitments_the_sum_is_noise_and_nobody_is_named(wrong: Wrong) -> None:
    run = Round(Cast(5)).until_uploads()
    everyone = run.cast.everyone
    b = {}
    for owner in everyone:
        sent = {silo: (wrong(run) if silo == CULPRIT else revealed(run, silo)) for silo in everyone}
        b[owner] = shares.combine({silo: sent[silo].shares[owner - 1] for silo in everyone}, run.cast.roster.threshold)
    keys = MaskKeys(tuple(self_key(secret, run.ctx, owner) for owner, secret in b.items()))
    assert not same(run.without(run.masked_sum(everyone), keys), run.plain_sum(everyone))


@pytest.mark.parametrize("wrong", [altered, short, foreign])
def test_attack_wrong_share(wrong: Wrong) -> None:
    run = Round(Cast(5)).until_uploads()
    everyone = run.cast.everyone
    messages = submitted(run, wrong)
    recovered = run.recover(messages, everyone)
    assert recovered.faults == {CULPRIT: "share.wrong"}
    assert same(run.opened(run.masked_sum(everyone), recovered), run.plain_sum(everyone))
    # One more silo is missing: too few right shares are left, and no sum comes out at all.
    with pytest.raises(ProtocolError) as caught:
        run.recover(messages[:4], everyone)
    assert caught.value.code == "unmask.too_few"


def test_attack_wrong_share_when_it_is_handed_out() -> None:
    """A silo seals another share than it committed to: its receiver says so before it trains."""
    run = Round(Cast(4))
    advertised = run.advertise(run.cast.everyone)
    honest = run.share(advertised, run.cast.everyone)
    body = share_set.build(run.places[CULPRIT], run.secrets[CULPRIT], run.advertise_set)
    again = share_set.build(run.places[CULPRIT], run.secrets[CULPRIT], run.advertise_set)
    boxes = tuple(replace(box, box_c=other.box_c) for box, other in zip(body.boxes, again.boxes, strict=True))
    lying = run.cast.seal(CULPRIT, replace(body, boxes=boxes))
    published = tuple(lying if m.signer == f"silo-{CULPRIT}" else m for m in honest)
    checked = share_set.check(run.places[1], published, run.advertise_set, honest[0])
    with pytest.raises(SiloFault) as caught:
        share_set.receive(run.places[1], checked, run.secrets[1])
    assert (caught.value.code, caught.value.silo) == ("share.wrong", CULPRIT)


def test_attack_inconsistent_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silo deals shares of another secret than it advertised: found only when the masks are to come off."""
    honest = share_set.build

    def build(place: Place, secrets: RoundSecrets, advertised: AdvertiseSet) -> Shares:
        lies = (place.silo, place.round_number) == (CULPRIT, 1)
        return honest(place, replace(secrets, b=bytes(32)) if lies else secrets, advertised)

    monkeypatch.setattr("silo_node.key_exchange.share_set.build", build)
    stage = stage_of(tmp_path, monkeypatch, silos=4, rounds=1)
    agents, results = stage.at(tmp_path / "on").play()
    assert codes(results) == {"ok"}
    for agent in agents:
        assert incidents(agent) == ["share.inconsistent", "round.abandoned"]
        ends = [entry.body["outcome"] for entry in agent.ledger.entries if entry.kind == "closed"]
        assert ends == ["abandoned", "closed"]
    # Off: nobody says so, and one dishonest silo has ended the study for all.
    monkeypatch.setattr("privacy.secagg.unopenable.FINDINGS", ())
    agents, results = stage.at(tmp_path / "off").play()
    assert codes(results) == {"share.inconsistent"}
    assert all("closed" not in kinds(agent) for agent in agents)
