"""What the files of a finished study say, and what must hold of them whatever was killed on the way.

`gather` reads; `broken` is pure and says what does not hold. Files alone: ledgers that verify, stored models, folders
for a round's secrets, and what the tests' launcher noted of the integers that were encrypted and opened
(`tests.e2e.mortal`). Nothing asks a process what it believes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privacy.configuration import load
from privacy.ledger.budgets.budget import charged
from privacy.ledger.entry import Entry
from privacy.study import SignedStudy
from silo_node.rounds.global_model import GlobalModel
from silo_node.rounds.round_vault import default_folder
from tests.e2e import mortal
from tests.e2e.scene import COHORT, STUDY, Scene
from tests.e2e.state_folders import ledger, leftovers

Noted = tuple[tuple[int, NDArray[np.int64]], ...]
"""The number of a round and the integers of it, as often as it was done."""


@dataclass(frozen=True)
class SiloEvidence:
    """What one silo left behind."""

    entries: tuple[Entry, ...]
    model: GlobalModel
    trained: tuple[int, ...]
    sent: Noted
    opened: Noted
    left: tuple[str, ...] = ()

    def rounds(self, kind: str) -> list[int]:
        """The rounds that have an entry of this kind, as often as they have one."""
        return [_round(entry) for entry in self.entries if entry.kind == kind]

    def incidents(self) -> list[str]:
        return [str(entry.body["detail"]) for entry in self.entries if entry.kind == "incident"]


@dataclass(frozen=True)
class Evidence:
    """What all left behind; `silos` in the order of the roster."""

    silos: Mapping[str, SiloEvidence]
    hub: tuple[Entry, ...]
    threshold: int
    local_steps: int
    left: tuple[str, ...] = ()

    def survivors(self) -> dict[int, list[str]]:
        """Whose uploads are in the sum of each round, as the aggregator's ledger has it."""
        names = list(self.silos)
        lists = {_round(entry): entry.body["silos"] for entry in self.hub if entry.kind == "survivors"}
        return {number: [names[int(str(index)) - 1] for index in silos] for number, silos in lists.items()}  # type: ignore[union-attr]

    def outcomes(self) -> dict[int, str]:
        """How each round ended, as the aggregator's ledger has it."""
        return {_round(entry): str(entry.body["outcome"]) for entry in self.hub if entry.kind == "closed"}


def gather(scene: Scene, notes: Path) -> Evidence:
    """Read everything; raises what a ledger or model that is not in order raises."""
    study = load(scene.study, SignedStudy).study
    silos = {}
    for name in scene.silos:
        state, at = scene.state(name), notes / name
        sent, opened = ([(r, v.astype(np.int64)) for r, v in mortal.noted(at, what)] for what in ("sent", "opened"))
        runtime = default_folder(state)
        silos[name] = SiloEvidence(
            entries=ledger(state),
            model=GlobalModel.load(state / "studies" / STUDY / "model"),
            trained=tuple(number for number, _ in mortal.noted(at, "trained")),
            sent=tuple(sent),
            opened=tuple(opened),
            left=(*leftovers(state), *(path.name for path in runtime.glob("*"))),
        )
    return Evidence(
        silos,
        ledger(scene.aggregator),
        study.roster.threshold,
        study.training.local_steps,
        tuple(leftovers(scene.aggregator)),
    )


def broken(evidence: Evidence) -> list[str]:
    """What does not hold; empty for a sound study."""
    checks = (_sums, _one_history, _debits, _interrupted, _once, _nothing_left)
    return [found for check in checks for found in check(evidence)]


def _sums(evidence: Evidence) -> Iterator[str]:
    """Every round that closed holds exactly the integer sum of what its survivors encrypted, each once."""
    survivors = evidence.survivors()
    for name, silo in evidence.silos.items():
        for number, opened in silo.opened:
            members = survivors.get(number, [])
            if len(members) < evidence.threshold:
                yield f"{name} opened round {number} with {members}, fewer than the threshold"
            parts = [
                [values for round_, values in evidence.silos[member].sent if round_ == number] for member in members
            ]
            if any(len(part) != 1 for part in parts):
                yield f"a survivor of round {number} did not encrypt exactly once for it"
            elif not np.array_equal(sum(part[0] for part in parts), opened):
                yield f"{name} opened in round {number} another sum than that of {members}"
    for number, outcome in evidence.outcomes().items():
        if outcome == "closed" and not any(r == number for silo in evidence.silos.values() for r, _ in silo.opened):
            yield f"round {number} closed and nobody opened it"


def _one_history(evidence: Evidence) -> Iterator[str]:
    """All silos have the same model and chain, each round has one end, and numbers have no gap."""
    first = next(iter(evidence.silos.values()))
    for name, silo in evidence.silos.items():
        model = silo.model
        if (model.round_number, model.chain) != (first.model.round_number, first.model.chain):
            yield f"{name} is at round {model.round_number} with another chain"
        if model.optimizer.weights.tobytes() != first.model.optimizer.weights.tobytes():
            yield f"{name} has another model"
        ends = _ends(silo.entries)
        if list(ends) != list(range(1, len(ends) + 1)):
            yield f"{name} has ends of the rounds {list(ends)}"
        if ends != _ends(first.entries):
            yield f"{name} has other ends of rounds than {next(iter(evidence.silos))}"
    closed = {
        number: (outcome, chain) for number, (outcome, chain) in _ends(first.entries).items() if outcome == "closed"
    }
    if {number: end for number, end in _ends(evidence.hub).items() if end[0] == "closed"} != closed:
        yield "the aggregator's ledger has other ends of rounds than the silos'"
    if [number for number, outcome in evidence.outcomes().items() if outcome != "closed"] != [
        number for number, end in _ends(first.entries).items() if end[0] != "closed"
    ]:
        yield "the aggregator's ledger has other abandoned rounds than the silos'"


def _debits(evidence: Evidence) -> Iterator[str]:
    """What was trained is charged, once, for good; what was sent is entered as spent."""
    for name, silo in evidence.silos.items():
        reserved, spent = silo.rounds("reserved"), silo.rounds("spent")
        for number in set(silo.trained) - set(reserved):
            yield f"{name} trained round {number} and was not charged"
        if len(reserved) != len(set(reserved)):
            yield f"{name} was charged twice for a round: {reserved}"
        steps = sum(event.steps for event in charged(silo.entries, COHORT))
        if steps != len(reserved) * evidence.local_steps:
            yield f"{name} is charged {steps} steps for {len(reserved)} rounds"
        for number in {number for number, _ in silo.sent} & set(silo.trained) - set(spent):
            yield f"{name} encrypted what it trained in round {number} before its ledger said spent"


def _interrupted(evidence: Evidence) -> Iterator[str]:
    """What was interrupted in training is a dropout or an abandoned round; whoever is left out is told why."""
    survivors = evidence.survivors()
    for name, silo in evidence.silos.items():
        for number in set(silo.rounds("reserved")) - set(silo.rounds("spent")):
            if name in survivors.get(number, []):
                yield f"{name} was interrupted in round {number} and is in its sum"


def _once(evidence: Evidence) -> Iterator[str]:
    """No silo opens, trains, encrypts, signs or ends a round a second time: nothing is retried in silence."""
    for name, silo in evidence.silos.items():
        done = {kind: silo.rounds(kind) for kind in ("round_opened", "spent", "survivors_signed", "closed")}
        done |= {"training": list(silo.trained), "encryption": [number for number, _ in silo.sent]}
        for what, numbers in done.items():
            for number, times in Counter(numbers).items():
                if times > 1:
                    yield f"{name} has {what} of round {number} {times} times"
    listed = Counter((entry.kind, _round(entry)) for entry in evidence.hub if entry.kind in ("survivors", "closed"))
    for (kind, number), times in listed.items():
        if times > 1:
            yield f"the aggregator's ledger has '{kind}' of round {number} {times} times"


def _nothing_left(evidence: Evidence) -> Iterator[str]:
    """No secret of a round and nothing half-written is left."""
    for name, left in (
        ("the aggregator", evidence.left),
        *((name, silo.left) for name, silo in evidence.silos.items()),
    ):
        if left:
            yield f"{name} still has {left}"


def _ends(entries: tuple[Entry, ...]) -> dict[int, tuple[str, str]]:
    return {
        _round(entry): (str(entry.body["outcome"]), str(entry.body["chain"]))
        for entry in entries
        if entry.kind == "closed"
    }


def _round(entry: Entry) -> int:
    return int(str(entry.body["round"]))
