"""The aggregator is killed by SIGKILL before and after each thing that it stores, and amid what it does with it.

Three silos, all of which are needed; the aggregator is started again at the same address. A study has many kills, one
after the other in one of its rounds: each start counts anew, and a kill is due once what comes before it in the
protocol has happened. Whatever they are, every round closes with every silo: nothing that was acknowledged is lost,
nothing is asked for that was given, and nobody has to do anything.
"""

from pathlib import Path

import pytest

from tests.e2e import evidence
from tests.e2e.mortal import Place
from tests.e2e.nursery import Nursery
from tests.e2e.scene import Scene
from tests.e2e.supervised import HUB, Supervised

pytestmark = [pytest.mark.timeout(1000), pytest.mark.slow]
STORE = "aggregator.storage.store:RoundStore"


def stored(name: str, nth: int = 2) -> tuple[Place, Place]:
    """Before the n-th message of a kind is stored, and when it is and nobody was told.

    Who was not answered sends the same again, which counts once more after the restart.
    """
    return (
        Place("before", f"{STORE}.put", nth, {"name": name}),
        Place("after", f"{STORE}.put", 1, {"name": name}),
    )


def frozen(name: str) -> tuple[Place, Place]:
    """A set is frozen: before that is stored, and when it is and nobody has seen it."""
    return (
        Place("before", f"{STORE}.keep_sets", 1, {"frozen": f"*'{name}'*"}),
        Place("after", f"{STORE}.keep_sets", 1, {"frozen": f"*'{name}'*"}),
    )


PIECE = "aggregator.storage.store:Incoming.put"
COMMIT = "aggregator.storage.store:Incoming.commit"
KEYS = {
    "key request": stored("request-*"),
    "key grant": stored("grant-*"),
    "advertise": stored("advertise-*"),
    "set of those who advertised": frozen("advertised"),
    "shares": stored("shares-*"),
    "set of those who shared": frozen("shared"),
}
"""In round 1."""
UPLOADS = {
    "upload header": (Place("before", f"{STORE}.incoming", 5), Place("after", f"{STORE}.incoming")),
    "upload frame": (
        Place("before", PIECE, 1, {"piece": "1"}),
        # a file without its row, or seeds half written
        Place("before", "aggregator.storage.database:commit", within=PIECE),
        Place("after", PIECE, 1, {"piece": "1"}),
    ),
    "complete upload": (Place("before", COMMIT, 2), Place("after", COMMIT)),
    "fold": (
        Place("after", "privacy.he.adder:Adder.add", 2),
        Place("before", f"{STORE}.put_sum"),
        Place("after", f"{STORE}.put_sum"),
    ),
    "survivors": stored("survivors", 1),
    "download of the sum": (Place("before", f"{STORE}.sum_frame"), Place("before", f"{STORE}.sum_frame", 3)),
}
"""In round 2."""
ANSWERS = {
    "sign": stored("sign-*", 5),
    "unmask": stored("unmask-*"),
    "set of those who unmasked": frozen("unmasked"),
    "close": stored("close-*"),
    "end in the ledger": (
        Place("before", "privacy.ledger.store:Ledger.append", 1, {"kind": "closed"}),
        Place("after", "privacy.ledger.store:Ledger.append", 1, {"kind": "closed"}),
    ),
}
"""In round 2."""
ATTEMPTS = 3
CASES = {**KEYS, **UPLOADS, **ANSWERS}


@pytest.mark.parametrize("cases", [KEYS, UPLOADS, ANSWERS], ids=["keys", "uploads", "answers"])
def test_an_aggregator_killed_around_what_it_stores_goes_on(
    cases: dict[str, tuple[Place, ...]], approved: Scene, nursery: Nursery, tmp_path: Path
) -> None:
    """Silos may say all they have to while the aggregator starts; a place is then left out, and it is played again."""
    for attempt in range(ATTEMPTS):
        scene = approved.copy(tmp_path / f"scene-{attempt}")
        study = Supervised(scene, nursery, {HUB: [place for places in cases.values() for place in places]})
        study.play()
        check(scene, study)
        if study.reached:
            return
    pytest.fail(f"in {ATTEMPTS} studies not every place was reached")


def check(scene: Scene, study: Supervised) -> None:
    """Every round closed with every silo, and with exactly what they sent."""
    found = evidence.gather(scene, study.all_notes)
    assert evidence.broken(found) == []
    assert found.outcomes() == {1: "closed", 2: "closed", 3: "closed"}
    assert found.survivors() == {number: list(scene.silos) for number in (1, 2, 3)}
    for silo in found.silos.values():
        assert silo.rounds("reserved") == silo.rounds("spent") == [1, 2]
        assert silo.incidents() == []
