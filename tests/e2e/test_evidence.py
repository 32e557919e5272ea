"""The checks of the evidence find what they are there for: sound evidence passes, each tampered twin fails."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, to_json
from privacy.ledger.entry import Entry
from privacy.secagg.ranges import Ranges
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.server_optimizer import OptimizerState
from tests.e2e.evidence import Evidence, SiloEvidence, broken
from tests.e2e.scene import COHORT

NAMES = ("north", "harbour", "hill", "lake")
EVENT = to_json(DpSgdEvent(0.5, 2.0, 2))
CHAIN = {1: "11" * 32, 2: "22" * 32}


def entry(kind: str, number: int, **more: Json) -> Entry:
    return Entry(0, "2026-11-23T00:00:00.000000Z", kind, {"study_digest": "", "round": number, **more}, "", "")


def charge(kind: str, number: int) -> Entry:
    return entry(kind, number, cohort=COHORT, event=EVENT)


def closed(number: int) -> Entry:
    return entry("closed", number, outcome="closed", chain=CHAIN[number])


def silo(index: int) -> SiloEvidence:
    """Rounds 1 and 2; the last silo was interrupted in round 2, in which it had encrypted nothing."""
    takes_part = index < 3
    entries = [charge("reserved", 1), charge("spent", 1), closed(1), charge("reserved", 2)]
    entries += [charge("spent", 2), entry("survivors_signed", 2, survivors="")] if takes_part else []
    return SiloEvidence(
        entries=(*entries, closed(2)),
        model=GlobalModel(OptimizerState.initial(np.ones(3)), Ranges.first(1), 2, bytes.fromhex(CHAIN[2])),
        trained=(1, 2),
        sent=tuple((number, sent(index, number)) for number in ((1, 2) if takes_part else (1,))),
        opened=((1, sum(sent(i, 1) for i in range(4))), (2, sum(sent(i, 2) for i in range(3)))),
    )


def sent(index: int, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """A power of two that nobody else sends."""
    return np.array([1 << (4 * number + index)], np.int64)


def sound() -> Evidence:
    survivors: dict[int, list[Json]] = {1: [1, 2, 3, 4], 2: [1, 2, 3]}
    hub = tuple(
        one
        for number in (1, 2)
        for one in (entry("survivors", number, survivors="", silos=survivors[number]), closed(number))
    )
    return Evidence({name: silo(index) for index, name in enumerate(NAMES)}, hub, threshold=3, local_steps=2)


def changed(name: str, **changes: object) -> Evidence:
    whole = sound()
    return replace(whole, silos={**whole.silos, name: replace(whole.silos[name], **changes)})  # type: ignore[arg-type]


def less(name: str, kind: str, number: int) -> Evidence:
    """Without an entry of a silo."""
    entries = sound().silos[name].entries
    return changed(name, entries=tuple(e for e in entries if (e.kind, e.body["round"]) != (kind, number)))


def more(name: str, *entries: Entry) -> Evidence:
    return changed(name, entries=(*sound().silos[name].entries, *entries))


def listed(number: int, *silos: int) -> Evidence:
    """The aggregator's ledger has other survivors of a round."""
    other = entry("survivors", number, survivors="", silos=[*silos])
    hub = tuple(other if (e.kind, e.body["round"]) == ("survivors", number) else e for e in sound().hub)
    return replace(sound(), hub=hub)


def test_sound_evidence_passes() -> None:
    assert broken(sound()) == []


TAMPERED: dict[str, tuple[Callable[[], Evidence], str]] = {
    "an upload is missing in the sum": (
        lambda: changed("hill", opened=((1, sound().silos["hill"].opened[0][1]), (2, sent(0, 2) + sent(1, 2)))),
        "another sum",
    ),
    "an upload is in it twice": (
        lambda: changed("hill", opened=((1, sound().silos["hill"].opened[0][1] + sent(0, 1)),)),
        "another sum",
    ),
    "who was interrupted is listed": (lambda: listed(2, 1, 2, 3, 4), "interrupted in round 2 and is in its sum"),
    "too few are listed": (lambda: listed(2, 1, 2), "fewer than the threshold"),
    "encrypted twice": (
        lambda: changed("north", sent=((1, sent(0, 1)), (1, sent(0, 1)), (2, sent(0, 2)))),
        "exactly once",
    ),
    "trained twice": (lambda: changed("lake", trained=(1, 2, 2)), "training of round 2 2 times"),
    "closed and nobody opened it": (
        lambda: replace(sound(), silos={name: replace(one, opened=()) for name, one in sound().silos.items()}),
        "nobody opened it",
    ),
    "another model": (
        lambda: changed("lake", model=replace(silo(3).model, optimizer=OptimizerState.initial(np.zeros(3)))),
        "has another model",
    ),
    "another chain": (lambda: changed("lake", model=replace(silo(3).model, chain=bytes(32))), "with another chain"),
    "an end is missing": (lambda: less("lake", "closed", 1), "has ends of the rounds [2]"),
    "the aggregator has another end": (lambda: replace(sound(), hub=sound().hub[:-1]), "other ends of rounds"),
    "a refund": (lambda: less("lake", "reserved", 2), "trained round 2 and was not charged"),
    "charged twice": (lambda: more("lake", charge("reserved", 2)), "charged twice"),
    "sent and not spent": (lambda: less("hill", "spent", 2), "before its ledger said spent"),
    "two lists signed": (
        lambda: more("hill", entry("survivors_signed", 2, survivors="")),
        "survivors_signed of round 2 2 times",
    ),
    "a secret is left": (lambda: changed("hill", left=("secrets",)), "still has ('secrets',)"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_evidence_fails(what: str) -> None:
    tampered, finding = TAMPERED[what]
    assert any(finding in found for found in broken(tampered())), broken(tampered())
