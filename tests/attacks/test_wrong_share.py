"""Attack 10: a silo reveals a wrong, a short or another silo's share, or seals one to a peer.

Without commitments one wrong share turns the round's sum into noise and nobody knows whose it was. With them the
culprit is named; with t others the sum is exact, with fewer the round is abandoned. Against running silos, and between
silos that are values.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg import share_set, shares, unmask
from privacy.secagg.advertise import AdvertiseSet
from privacy.secagg.faults import SiloFault
from privacy.secagg.held_shares import HeldShares, RevealedShares
from privacy.secagg.masks import MaskKeys
from privacy.secagg.place import Place
from privacy.secagg.round_keys import RoundSecrets, self_key
from privacy.wire.messages import Shares
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.opening import GIVEN_UP
from silo_node.rounds.round_vault import RoundVault
from tests.attacks.coalition import silo_of
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


def deal_wrong(patch: pytest.MonkeyPatch) -> None:
    """The culprit reveals other shares than it was given, every one of them."""
    held = RoundVault.held

    def wrong(vault: RoundVault) -> HeldShares | None:
        honest = held(vault)
        if honest is None or silo_of(vault.folder) != CULPRIT:
            return honest
        return HeldShares({owner: (share_k, share_b) for owner, (share_b, share_k) in honest.by_owner.items()})

    patch.setattr(RoundVault, "held", wrong)


def test_attack_wrong_share_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three others are right: every silo names the culprit in its ledger, and the sum is exact."""
    deal_wrong(monkeypatch)
    stage = stage_of(tmp_path, monkeypatch, silos=4)
    agents, results = stage.play()
    assert codes(results) == {"ok"}
    for agent, result in zip(agents, results, strict=True):
        named = [entry.body["detail"] for entry in agent.ledger.entries if entry.kind == "incident"]
        assert incidents(agent) == ["share.wrong", "share.wrong"]  # in the round of training, and in that of metrics
        assert all(f"silo {CULPRIT} " in str(detail) for detail in named)
        assert isinstance(result, GlobalModel)
        mean = sum(other.learner.update(1) for other in agents) / 4  # type: ignore[attr-defined]
        np.testing.assert_allclose(result.optimizer.weights, mean, atol=1e-3)


def test_attack_wrong_share_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without commitments nobody gets the sum, and nobody knows whose fault it is."""
    deal_wrong(monkeypatch)
    monkeypatch.setattr("privacy.secagg.unmask.shares.check", lambda *_, **__: None)
    monkeypatch.setattr("privacy.secagg.unmask._check_secret", lambda *_: None)
    agents, results = stage_of(tmp_path, monkeypatch, silos=4).play()
    assert codes(results) == {"sum.refused"}
    assert {code for agent in agents for code in incidents(agent)} == {"sum.refused"}


def test_attack_wrong_share_with_too_few_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three silos of three are needed: each round is abandoned, and every silo's ledger names the culprit."""
    deal_wrong(monkeypatch)
    agents, results = stage_of(tmp_path, monkeypatch).play()
    assert codes(results) == {"round.abandoned"}
    for agent in agents:
        named = [entry.body["culprit"] for entry in agent.ledger.entries if entry.kind == GIVEN_UP]
        assert named == [CULPRIT, CULPRIT]


@pytest.mark.parametrize("wrong", [altered, foreign])
def test_attack_wrong_share_of_values_off(wrong: Wrong) -> None:
    run = Round(Cast(5)).until_uploads()
    everyone = run.cast.everyone
    b = {}
    for owner in everyone:
        sent = {silo: (wrong(run) if silo == CULPRIT else revealed(run, silo)) for silo in everyone}
        b[owner] = shares.combine({silo: sent[silo].shares[owner - 1] for silo in everyone}, run.cast.roster.threshold)
    keys = MaskKeys(tuple(self_key(secret, run.ctx, owner) for owner, secret in b.items()))
    assert not same(run.without(run.masked_sum(everyone), keys), run.plain_sum(everyone))


@pytest.mark.parametrize("wrong", [altered, short, foreign])
def test_attack_wrong_share_of_values_on(wrong: Wrong) -> None:
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


def deal_inconsistent(patch: pytest.MonkeyPatch) -> None:
    """The culprit deals shares of another secret than it advertised: found only when the masks are to come off."""
    honest = share_set.build

    def build(place: Place, secrets: RoundSecrets, advertised: AdvertiseSet) -> Shares:
        lies = (place.silo, place.round_number) == (CULPRIT, 1)
        return honest(place, replace(secrets, b=bytes(32)) if lies else secrets, advertised)

    patch.setattr("silo_node.rounds.key_exchange.share_set.build", build)


def test_attack_inconsistent_shares_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deal_inconsistent(monkeypatch)
    agents, results = stage_of(tmp_path, monkeypatch, silos=4).play()
    assert codes(results) == {"ok"}
    for agent in agents:
        assert incidents(agent) == ["share.inconsistent", "round.abandoned"]
        ends = [entry.body["outcome"] for entry in agent.ledger.entries if entry.kind == "closed"]
        assert ends == ["abandoned", "closed"]


def test_attack_inconsistent_shares_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says so, and one dishonest silo has ended the study for all."""
    deal_inconsistent(monkeypatch)
    monkeypatch.setattr("privacy.secagg.unopenable.FINDINGS", ())
    agents, results = stage_of(tmp_path, monkeypatch, silos=4).play()
    assert codes(results) == {"share.inconsistent"}
    assert all("closed" not in kinds(agent) for agent in agents)
