"""Attacks 2, 3 and 4: another key than the steward's one key of the epoch is passed to a silo.

Whoever chooses the key reads every update that is encrypted under it. Each test first does what a silo without the
check would do (open the sealed box and use what is in it), then what ours does: between running parts, where the
aggregator passes on what it likes and silos of its side sign for it, and with every field altered between values.
"""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest

from privacy.channel.envelope import Signed
from privacy.he.keyholder import KeyHolder
from privacy.secagg.hybrid import HybridKey, seal
from privacy.secagg.keygrant import KeyMaterial, announce, binding, hash_request
from privacy.wire import bodies
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.requests import AwaitRequest, Board, Phase
from silo_node.rounds.agent import Agent
from silo_node.rounds.global_model import GlobalModel
from tests.attacks.stage import HidesRejects, asking, codes, incidents, kinds, stage_of
from tests.attacks.two_lists import Killed, killed
from tests.privacy.secagg.test_keygrant import EPOCH, OTHER, PARAMS, RECEIVER, STEWARD, World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def own() -> KeyMaterial:
    """The attacker's own key."""
    return KeyMaterial.generate(KeyHolder.generate(PARAMS).secret())


def unchecked(world: World, granted: KeyGrant) -> KeyMaterial:
    """Off: what a silo gets that opens whatever is sealed to it."""
    info = binding(granted.announce.body, granted.giver, RECEIVER, granted.request_hash)
    return KeyMaterial.from_bytes(world.key.open(granted.enc, info))


def test_attack_key_substitution_of_values(world: World, own: KeyMaterial) -> None:
    """2: the aggregator seals its own key to the receiver under the steward's announcement."""
    honest = world.grant()
    info = binding(world.announcement.body, STEWARD, RECEIVER, honest.request_hash)
    forged = replace(honest, enc=seal(own.to_bytes(), world.requested.public_key, info))
    assert unchecked(world, forged) == own
    assert world.refused(forged) == "protocol.key_substitution"
    with pytest.raises(RuntimeError, match="not what the steward announced"):
        world.grant(material=own)
    mixed = KeyMaterial(world.material.secret, bytes(32))
    forged = replace(honest, enc=seal(mixed.to_bytes(), world.requested.public_key, info))
    assert world.refused(forged) == "protocol.key_substitution"
    short = replace(honest, enc=seal(b"short", world.requested.public_key, info))
    assert world.refused(short) == "protocol.key_malformed"


def test_attack_second_key_in_an_epoch_of_values(world: World, own: KeyMaterial) -> None:
    """3: the steward announces a second key, to some silos or after a while."""
    announced = announce(EPOCH, STEWARD, own)
    announcement = world.signed(announced, "key-announce", STEWARD)
    granted = world.grant(material=own, announced=announced, announcement=announcement)
    assert world.open(granted, announced=announced, known_key_id=None) == own
    code = world.refused(granted, announced=announced, known_key_id=world.announced.key_id)
    assert code == "protocol.key_equivocation"


def test_attack_key_by_a_non_steward_of_values(world: World, own: KeyMaterial) -> None:
    """4: a silo that is not the steward announces its own key."""
    announced = replace(world.announced, key_id=own.key_id)
    announcement = world.signed(announced, "key-announce", OTHER)
    granted = world.grant(giver=OTHER, material=own, announced=announced, announcement=announcement)
    assert unchecked(world, granted) == own
    assert world.refused(granted, announced=announced, announcer=OTHER) == "protocol.key_not_by_steward"
    with pytest.raises(RuntimeError, match="only the steward"):
        announce(EPOCH, OTHER, own)


SIDE, VICTIM = {"north": 1, "south": 2}, 3
"""Of three running silos: the steward and another, who sign what the aggregator asks for, and the victim."""


@dataclass(frozen=True)
class Lie:
    """What is passed to the victim in the place of its grant, and the code of what a silo answers.

    `giver` signs the grant. `announcer` announces the attacker's own key; None leaves the steward's announcement.
    """

    giver: str
    announcer: str | None
    code: str


LIES = {
    "key_substitution": Lie("south", None, "protocol.key_substitution"),
    "second_key_in_an_epoch": Lie("north", "north", "protocol.key_equivocation"),
    "key_by_a_non_steward": Lie("south", "south", "protocol.key_not_by_steward"),
}


class PassesAnotherKey(HidesRejects):
    """The dishonest aggregator; a test makes a subclass."""

    lie: ClassVar[Lie]
    own: ClassVar[KeyMaterial]
    side: ClassVar[dict[str, Agent]]

    def shown(self, request: AwaitRequest, board: Board) -> Board:
        if request.phase != Phase.KEYS_GRANTED or asking.silo != self._study.roster.silos[VICTIM - 1].name:
            return board
        messages = []
        for message in board.messages:
            signer = self._study.roster.index(message.signer)
            granted = bodies.open_signed(
                message, KeyGrant, bytes.fromhex(self._study.roster.silos[signer - 1].identity)
            )
            messages.append(self.forged(granted) if granted.receiver == VICTIM else message)
        return replace(board, messages=tuple(messages))

    def forged(self, granted: KeyGrant) -> Signed:
        lie, announcement = self.lie, granted.announce
        if lie.announcer is not None:
            key = bytes.fromhex(self._study.roster.silos[0].identity)
            announced = bodies.open_signed(announcement, KeyAnnounce, key)
            body = replace(announced, key_id=self.own.key_id)
            announcement = bodies.seal(body, lie.announcer, self.side[lie.announcer].identity.keys.identity)
        asked = self._keys._requests[VICTIM]
        requested = bodies.open_signed(asked, KeyRequest, bytes.fromhex(self._study.roster.silos[VICTIM - 1].identity))
        info = binding(announcement.body, SIDE[lie.giver], VICTIM, hash_request(asked.body))
        enc = seal(self.own.to_bytes(), requested.public_key, info)
        body = KeyGrant(announcement, SIDE[lie.giver], VICTIM, hash_request(asked.body), enc)
        return bodies.seal(body, lie.giver, self.side[lie.giver].identity.keys.identity)


class Until:
    """The victim stops when it has a key or an error, the others, who grant keys, when the victim has stopped.

    A victim that had a key of the epoch lost its folder since, not its ledger.
    """

    def __init__(self, *, had_a_key: bool) -> None:
        self.stopped = threading.Event()
        self.had_a_key = had_a_key

    def cast(self, agent: Agent) -> None:
        run = agent.run

        def watched() -> GlobalModel:
            try:
                return run()
            finally:
                self.stopped.set()

        def serve(model: GlobalModel) -> NoReturn:
            while not self.stopped.wait(0.02):
                agent._attend()
            raise Killed

        if agent._index == VICTIM:
            if self.had_a_key:
                before = {"study_digest": agent.study.digest().hex(), "epoch": 1, "key_id": "ab" * 32}
                agent.ledger.append("key_granted", before)
            agent.run = watched  # type: ignore[method-assign]
            agent.learner.initial_vector = killed  # type: ignore[method-assign]
        else:
            agent._round = serve  # type: ignore[method-assign]


def passed(folder: Path, patch: pytest.MonkeyPatch, lie: Lie, own: KeyMaterial) -> tuple[Agent, set[str]]:
    """The victim, and how it ended; a silo that has a key is stopped there."""
    hub = type("Passes", (PassesAnotherKey,), {"lie": lie, "own": own, "side": {}})
    until_asked = Until(had_a_key=lie.code == "protocol.key_equivocation")

    def cast(agent: Agent) -> None:
        hub.side[agent.identity.member.name] = agent  # type: ignore[attr-defined]
        until_asked.cast(agent)

    agents, results = stage_of(folder, patch).play(hub, cast)
    assert codes(results[:-1]) == {"Killed"}
    return agents[-1], codes(results[-1:])


@pytest.mark.parametrize("name", LIES)
def test_attack_on_the_key_on(name: str, own: KeyMaterial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, ended = passed(tmp_path, monkeypatch, LIES[name], own)
    assert ended == {LIES[name].code}
    assert incidents(victim) == [LIES[name].code]
    assert not victim.folder.key_file.exists()


@pytest.mark.parametrize("name", LIES)
def test_attack_on_the_key_off(name: str, own: KeyMaterial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silo that takes what is sealed to it has the attacker's key, and would encrypt under it."""

    def unchecked(epoch: object, receiver: int, key: HybridKey, *rest: object) -> KeyMaterial:
        granted = rest[1]
        assert isinstance(granted, KeyGrant)
        info = binding(granted.announce.body, granted.giver, receiver, granted.request_hash)
        return KeyMaterial.from_bytes(key.open(granted.enc, info))

    monkeypatch.setattr("silo_node.rounds.key_epoch.keygrant.open_grant", unchecked)
    victim, ended = passed(tmp_path, monkeypatch, LIES[name], own)
    assert ended == {"Killed"}
    assert victim._material == own


def test_two_silos_with_two_keys_find_out_before_they_train(
    own: KeyMaterial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither had a key before, so that none can know better; but the key is in the context of M1."""
    hub = type("Passes", (PassesAnotherKey,), {"lie": LIES["second_key_in_an_epoch"], "own": own, "side": {}})

    def cast(agent: Agent) -> None:
        hub.side[agent.identity.member.name] = agent  # type: ignore[attr-defined]

    agents, results = stage_of(tmp_path, monkeypatch).play(hub, cast)
    assert codes(results) == {"round.split_view"}
    assert all("reserved" not in kinds(agent) for agent in agents)


# ---- the same by a silo that grants again, as any holder may


def test_attack_key_substitution_by_a_silo_that_grants_again(world: World, own: KeyMaterial) -> None:
    """2: a silo that holds no key, or another one, answers under the steward's real announcement."""
    honest = world.grant(giver=OTHER)
    assert world.open(honest, known_key_id=world.announced.key_id) == world.material
    info = binding(world.announcement.body, OTHER, RECEIVER, honest.request_hash)
    forged = replace(honest, enc=seal(own.to_bytes(), world.requested.public_key, info))
    assert unchecked(world, forged) == own
    for known in (None, world.announced.key_id):
        assert world.refused(forged, known_key_id=known) == "protocol.key_substitution"
    # Half right is wrong: the steward's CKKS key with another group secret, and the other way round.
    for mixed in (
        KeyMaterial(world.material.secret, own.group_secret),
        KeyMaterial(own.secret, world.material.group_secret),
    ):
        forged = replace(honest, enc=seal(mixed.to_bytes(), world.requested.public_key, info))
        assert world.refused(forged) == "protocol.key_substitution"


def test_attack_second_key_in_an_epoch_by_a_silo_that_grants_again(world: World, own: KeyMaterial) -> None:
    """3: the steward announced a second key, and another silo hands it on."""
    announced = announce(EPOCH, STEWARD, own)
    announcement = world.signed(announced, "key-announce", STEWARD)
    granted = world.grant(giver=OTHER, material=own, announced=announced, announcement=announcement)
    assert world.open(granted, announced=announced, known_key_id=None) == own
    code = world.refused(granted, announced=announced, known_key_id=world.announced.key_id)
    assert code == "protocol.key_equivocation"


def test_attack_key_by_a_non_steward_that_grants_again(world: World, own: KeyMaterial) -> None:
    """4: who grants again announces its own key, or passes for another holder."""
    announced = replace(world.announced, key_id=own.key_id)
    announcement = world.signed(announced, "key-announce", OTHER)
    granted = world.grant(giver=OTHER, material=own, announced=announced, announcement=announcement)
    for announcer in (OTHER, RECEIVER):
        assert world.refused(granted, announced=announced, announcer=announcer) == "protocol.key_not_by_steward"
    named = world.grant(giver=STEWARD, material=own, announced=announced, announcement=announcement)
    assert world.refused(named, announced=announced, giver=OTHER) == "protocol.key_wrong_giver"
    # A key of nobody's: with the announcement of another study's or epoch's steward.
    for changes, code in (
        ({"study_digest": b"\7" * 32}, "protocol.key_wrong_study"),
        ({"epoch": 2}, "protocol.key_wrong_epoch"),
        ({"roster_digest": b"\7" * 32}, "protocol.key_wrong_roster"),
    ):
        foreign = replace(announced, **changes)  # type: ignore[arg-type]
        signed = world.signed(foreign, "key-announce", STEWARD)
        again = world.grant(giver=OTHER, material=own, announced=foreign, announcement=signed)
        assert unchecked(world, again) == own
        assert world.refused(again, announced=foreign) == code
