"""The epoch's one key over real boards, folders and ledgers: lost, asked for, granted by any holder, never a second."""

from dataclasses import replace
from pathlib import Path

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.he.params import CiphertextParams
from privacy.ledger.store import Ledger
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.keygrant import Epoch, KeyMaterial
from privacy.wire import bodies
from privacy.wire.heads import HeadAnswer
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.requests import Board, Phase
from silo_node.rounds.key_epoch import KeyEpoch
from silo_node.rounds.progress import Progress
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.state import StateDirectory, StudyDirectory
from tests.aggregator.hub import Hub
from tests.aggregator.members import Members
from tests.silo_node.direct import Line, World

STEWARD, HOLDER, LATE = 1, 2, 3


class Answered(Line):
    """A silo whose requests another answers before it looks for a grant."""

    answerer: KeyEpoch | None = None
    material: KeyMaterial | None = None

    def wait(self, round_number: int, phase: Phase, said: tuple[Signed, ...] = ()) -> Board:
        if self.answerer is not None and self.material is not None:
            self.answerer.grant_open_requests(self.material)
        return super().wait(round_number, phase)


class Silos:
    """Key exchanges of one epoch over one aggregator; `silo` may be had again, as after a restart."""

    def __init__(self, root: Path, members: Members) -> None:
        self.members, self.root = members, root
        self.world = World(root / "world", members)
        self.hub: Hub = self.world.hub
        self.params = CiphertextParams.for_study(members.study.encryption, len(members.silos))

    def silo(
        self, index: int, answered_by: KeyEpoch | None = None, *, folder: str = "study", ledger: str = "ledger"
    ) -> KeyEpoch:
        """A silo's part, whose requests `answered_by` answers; other names of folder or ledger are new, empty ones."""
        identity = self.members.of(index)
        state = self.root / f"silo-{index}"
        (state / folder).mkdir(parents=True, exist_ok=True)
        if (state / ledger / "origin.json").exists():
            opened = Ledger.open(state / ledger, identity.keys.identity)
        else:
            opened = Ledger.create(state / ledger, identity.member.uri, identity.keys.identity)
        line = Answered(self.world, index)
        if answered_by is not None:
            line.answerer, line.material = answered_by, self.material(answered_by)
        place = StudyDirectory(state / folder)
        return KeyEpoch(
            study=self.members.study,
            params=self.params,
            identity=identity,
            client=line,  # type: ignore[arg-type]
            folder=place,
            ledger=opened,
            roster=RosterWatch(
                self.members.study,
                identity,
                StateDirectory(state).statements(identity),
                line,  # type: ignore[arg-type]
                Progress(None, 1),
            ),
        )

    def material(self, epoch: KeyEpoch) -> KeyMaterial:
        return KeyMaterial.from_bytes(epoch.folder.key_file.read_bytes())


@pytest.fixture
def silos(tmp_path: Path, members: Members) -> Silos:
    return Silos(tmp_path, members)


def incidents(epoch: KeyEpoch) -> list[object]:
    return [entry.body["code"] for entry in epoch.ledger.entries if entry.kind == "incident"]


def refused(epoch: KeyEpoch) -> str:
    with pytest.raises(ProtocolError) as caught:
        epoch.obtain()
    return caught.value.code


def test_a_holder_grants_what_the_steward_announced_when_the_steward_is_away(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    holder = silos.silo(HOLDER, steward)
    assert holder.obtain() == material
    late = silos.silo(LATE, holder)
    assert late.obtain() == material
    (shown,) = silos.hub.board(0, Phase.KEYS_GRANTED, index=LATE).messages
    key = silos.members.of(HOLDER).keys.public_identity
    assert bodies.open_signed(shown, KeyGrant, key).giver == HOLDER
    for epoch in (steward, holder, late):
        assert not epoch.grant_open_requests(material), "nobody asks any more"
        assert oct(epoch.folder.key_file.stat().st_mode & 0o777) == oct(0o600)
        assert incidents(epoch) == []


def test_a_silo_that_lost_its_key_takes_the_same_one_again_also_the_steward(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    holder = silos.silo(HOLDER, steward)
    holder.obtain()
    steward.ledger.close()
    again = silos.silo(STEWARD, holder, folder="empty")
    assert again.obtain() == material
    assert not again.alone, "who gave it back has it"
    granted = [entry for entry in again.ledger.entries if entry.kind == "key_granted"]
    assert len(granted) == 1


def test_a_steward_whose_folder_is_older_than_its_key_is_shown_that_it_made_one(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    holder = silos.silo(HOLDER, steward)
    holder.obtain()
    answer = silos.hub.ask_head(STEWARD, b"n" * 32)
    shown = bodies.open_signed(answer, HeadAnswer, silos.members.hub.keys.public_identity).announce
    assert shown is not None
    again = silos.silo(STEWARD, holder, folder="old", ledger="old")
    again.announce = shown
    assert again.obtain() == material


def test_a_steward_is_alone_with_its_key_until_another_silo_was_handed_it(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    assert steward.alone
    steward.ledger.close()
    steward = silos.silo(STEWARD)
    assert steward.obtain() == material
    assert steward.alone, "its files do not tell"
    assert not steward.grant_open_requests(material)
    assert steward.alone
    holder = silos.silo(HOLDER, steward)
    holder.obtain()
    assert not steward.alone
    assert not holder.alone
    steward.ledger.close()
    answer = silos.hub.ask_head(STEWARD, b"n" * 32)
    again = silos.silo(STEWARD)
    shown = bodies.open_signed(answer, HeadAnswer, silos.members.hub.keys.public_identity).announce
    assert not replace(again, announce=shown).alone


def test_a_request_of_a_revoked_silo_leaves_the_steward_alone_with_its_key(
    silos: Silos, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    digest = silos.members.study.digest()
    silos.hub.submit(HOLDER, KeyRequest(digest, 1, HOLDER, HybridKey.generate().public_key))
    monkeypatch.setattr(RosterWatch, "known", lambda _: frozenset({HOLDER}))
    assert not steward.grant_open_requests(material)
    assert steward.alone


def test_attack_an_announcement_that_is_not_the_stewards_of_this_epoch(silos: Silos) -> None:
    """3, 4: the aggregator would have the steward wait for a key that nobody has."""
    steward, other = silos.members.of(STEWARD), silos.members.of(HOLDER)
    epoch = Epoch.of(silos.members.study)
    right = KeyAnnounce(epoch.study_digest, epoch.number, epoch.roster_digest, b"k" * 32)
    for announce, signer in ((replace(right, epoch=epoch.number + 1), steward), (right, other)):
        again = silos.silo(STEWARD, folder="old", ledger="old")
        again.announce = bodies.seal(announce, signer.member.name, signer.keys.identity)
        assert refused(again) == "witness.forged"
        again.ledger.close()


def test_attack_second_key_in_an_epoch_over_restarts_and_lost_folders(silos: Silos) -> None:
    """3: a steward that made a second key is refused by every silo whose ledger knows the first."""
    steward = silos.silo(STEWARD)
    first = steward.obtain()
    late = silos.silo(LATE, steward)
    late.obtain()
    late.ledger.close()
    steward.ledger.close()
    second = silos.silo(STEWARD, folder="empty", ledger="forgotten")
    assert second.obtain() != first

    # Off: a silo without its ledger has nothing to compare with, and takes it.
    unknowing = silos.silo(LATE, second, folder="another", ledger="another")
    assert unknowing.obtain() == silos.material(second)
    unknowing.ledger.close()

    for time in (1, 2):
        victim = silos.silo(LATE, second, folder="empty")
        assert refused(victim) == "protocol.key_equivocation"
        assert incidents(victim) == ["protocol.key_equivocation"] * time
        assert not victim.folder.key_file.exists()
        victim.ledger.close()


def test_a_stored_key_that_the_ledger_does_not_know_is_refused(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    steward.obtain()
    other = silos.silo(STEWARD, folder="empty", ledger="another")
    other.obtain()
    steward.folder.key_file.write_bytes(other.folder.key_file.read_bytes())
    assert refused(steward) == "protocol.key_equivocation"
    assert incidents(steward) == ["protocol.key_equivocation"]


def test_a_stop_between_key_and_ledger_is_made_good(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    restarted = silos.silo(STEWARD, ledger="another")
    assert restarted.obtain() == material
    assert [entry.kind for entry in restarted.ledger.entries] == ["key_granted"]


def test_a_key_without_its_announcement_is_asked_for_again(silos: Silos) -> None:
    """A silo must be able to hand on what it has."""
    steward = silos.silo(STEWARD)
    steward.obtain()
    late = silos.silo(LATE, steward)
    material = late.obtain()
    late.folder.announcement.unlink()
    assert late.obtain() == material
    assert late.folder.announcement.exists()


def test_a_request_that_nothing_can_be_sealed_to_stops_nobody_else(silos: Silos) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    silos.hub.submit(HOLDER, KeyRequest(silos.members.study.digest(), 1, HOLDER, b"\xff" * 1216))
    assert not steward.grant_open_requests(material)
    assert not steward.grant_open_requests(material)
    assert incidents(steward) == ["protocol.public_key"], "it is told once"
    assert steward.alone
    assert silos.silo(LATE, steward).obtain() == material


def test_a_request_that_was_replaced_meanwhile_is_no_error(silos: Silos, monkeypatch: pytest.MonkeyPatch) -> None:
    steward = silos.silo(STEWARD)
    material = steward.obtain()
    digest = silos.members.study.digest()
    silos.hub.submit(HOLDER, KeyRequest(digest, 1, HOLDER, HybridKey.generate().public_key))
    stale = silos.hub.board(0, Phase.KEYS_REQUESTED)
    silos.hub.submit(HOLDER, KeyRequest(digest, 1, HOLDER, HybridKey.generate().public_key))
    monkeypatch.setattr(steward.client, "board", lambda *_: stale)
    assert not steward.grant_open_requests(material)
    assert steward.alone
    assert incidents(steward) == []
