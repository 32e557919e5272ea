"""What must hold after every history, whatever happened in it. Each check says what it found, for all at once."""

from collections import Counter
from collections.abc import Iterator

from privacy.ledger.entry import Entry
from tests.simulation.operations import Disk, Expire, Jump, Kill, Leave, Operation, Restore
from tests.simulation.silo import mark
from tests.simulation.world import World

STEWARD = 1
"""Roster index of the silo that makes the epoch's key."""

UNASKED = (["ledger.rolled_back"], ["identity.revoked"], ["gone"])
"""Last ends of a silo after which nothing is trained on its ledger, though it may be an old copy."""


def broken(world: World) -> list[str]:
    """What does not hold; empty in a sound history."""
    checks = (_once, _charged, _sums, _one_history, _ends, _waits, _excluded)
    return [*world.problems, *(found for check in checks for found in check(world))]


def _once(world: World) -> Iterator[str]:
    """Each silo trains a round, opens it and signs its survivors at most once."""
    for (silo, number), times in Counter(world.trained).items():
        if times > 1:
            yield f"silo {silo} trained round {number} {times} times"
    for silo in world.silos:
        for kind in ("round_opened", "spent", "survivors_signed", "closed"):
            for number, times in Counter(_rounds(world, silo, kind)).items():
                if times > 1:
                    yield f"silo {silo} has '{kind}' {times} times for round {number}"


def _charged(world: World) -> Iterator[str]:
    """What was trained is charged before the next training, and in the ledger that is there at the end.

    Also if an older ledger was put back. If the aggregator was put back too, only other silos know what is lost: before
    the silo trains again they say so, unless too many of them were put back as well; before that nobody can.
    """
    back, roster = _put_back(world), world.cast.study.roster
    for silo, number, forgotten in world.forgotten:
        if not (0 in back and len(back - {0, silo}) >= 2 * roster.threshold - len(roster.silos) - 1):
            yield f"silo {silo} trains round {number}, and its ledger has forgotten the charge of {sorted(forgotten)}"
    for silo in world.silos:
        charged = Counter(_rounds(world, silo, "reserved"))
        if world.reasons[silo][-1:] not in UNASKED and not {0, silo} <= back:
            for number in {number for who, number in world.trained if who == silo} - charged.keys():
                yield f"silo {silo} trained round {number} and its ledger has forgotten the charge"
        for number, times in charged.items():
            if times > 1:
                yield f"silo {silo} charged round {number} {times} times"


def _sums(world: World) -> Iterator[str]:
    """Every opened sum holds exactly what its survivors sent for that round, each once, and all open the same."""
    silos = len(world.silos)
    seen: dict[int, tuple[int, ...]] = {}
    for one in world.opened:
        expected = sum(mark(silo, one.round_number, silos) for silo in one.members)
        if one.patients != expected:
            yield f"silo {one.silo} opened {one.patients:b} in round {one.round_number}, not {expected:b}"
        if seen.setdefault(one.round_number, one.members) != one.members:
            yield f"round {one.round_number} was opened with {one.members} and with {seen[one.round_number]}"
        listed = [e.body["silos"] for e in world.entries(0) if e.kind == "survivors" and _round(e) == one.round_number]
        if not _forgot(world) and listed != [list(one.members)]:
            yield f"round {one.round_number} was opened with {one.members}; the aggregator's ledger has {listed}"
        if len(one.members) < world.cast.study.roster.threshold:
            yield f"round {one.round_number} was opened with {one.members}, fewer than the threshold"


def _one_history(world: World) -> Iterator[str]:
    """All that have a round have the same end, chain and model; the aggregator says the same."""
    ends: dict[int, tuple[object, object]] = {}
    for number in () if _forgot(world) else (*world.silos, 0):
        for entry in world.entries(number):
            if entry.kind == "closed":
                chain = entry.body["chain"] or None
                end = (entry.body["outcome"], chain)
                known = ends.setdefault(_round(entry), end)
                if known[0] != end[0] or (None not in (known[1], chain) and known != end):
                    yield f"party {number} has round {entry.body['round']} {end}, others {known}"
    models = {(model.round_number, model.chain, model.optimizer.weights.tobytes()) for model in world.finished.values()}
    if len(models) > 1 and not _forgot(world):
        yield "silos finished with different models"


def _ends(world: World) -> Iterator[str]:
    """Each silo ends with a reason that something in the history explains."""
    for silo, reasons in world.reasons.items():
        last = reasons[-1] if reasons else "never started"
        own = [op for op in world.operations if _concerns(op, silo)]
        if silo not in world.ended or last == "finished":
            continue
        if "finished" in reasons and last in ("peer.unreachable", "peer.certificate_expired"):
            continue  # started again for another silo, and not yet through
        explained = (
            (last == "gone" and any(isinstance(op, Leave) for op in own))
            or (last == "identity.revoked" and silo in world.revoked)
            or any(isinstance(op, Restore) and op.party in (0, silo) for op in world.operations)  # a person has to look
            or (last == "round.split_view" and (_two_keys(world) or _lost_key(world)))
            or (last == "round.abandoned" and _able(world) < world.cast.study.roster.threshold)
            or (last.startswith("roster.") and any(isinstance(op, Jump) for op in world.operations))
            or (
                last in ("identity.expired", "identity.not_yet_valid")
                and any(isinstance(op, Jump | Expire) for op in world.operations)
            )
        )
        if not explained:
            yield f"silo {silo} ended with {reasons}"


def _waits(world: World) -> Iterator[str]:
    """Nobody waits for ever while t silos are there that lost nothing; more than n - t that did are not tolerated."""
    waiting = [silo for silo in world.silos if silo not in world.ended]
    keyless = not any(_entries(world, silo, "key_granted") for silo in waiting)
    if keyless and (STEWARD not in waiting or _lost_key(world)):
        return  # the steward is gone, or lost it, and nobody else has the key
    refusing = [silo for silo, reasons in world.reasons.items() if reasons[-1:] == ["witness.forgot"]]
    if _forgot(world) and len(refusing) > len(world.silos) - world.cast.study.roster.threshold:
        return  # they want a person's word for a ledger of which the aggregator, which was put back, knows less
    if waiting and _able(world) - len(_put_back(world) - {0}) >= world.cast.study.roster.threshold:
        yield f"silos {waiting} wait for ever; so far {world.reasons}"


def _excluded(world: World) -> Iterator[str]:
    """A silo that nothing happened to is in every sum, or an entry says why not."""
    for entry in [] if _forgot(world) else _entries(world, 0, "survivors"):
        number = _round(entry)
        for silo in world.silos:
            if silo in entry.body["silos"] or any(_concerns(op, silo) for op in world.operations):  # type: ignore[operator]
                continue
            told = [e.body["detail"] for e in world.entries(silo) if e.kind == "incident"]
            if not any(f"round {number}:" in str(detail) for detail in told):
                yield f"silo {silo} is not in the sum of round {number} and its ledger does not say why"


def _two_keys(world: World) -> bool:
    """Whether the steward, put back with the aggregator to before its key, made another: silos see that and stop."""
    keys = {entry.body["key_id"] for silo in world.silos for entry in _entries(world, silo, "key_granted")}
    return len(keys) > 1 and {0, STEWARD} <= _put_back(world)


def _lost_key(world: World) -> bool:
    """Whether the steward was put back and the one silo that it had handed its key lost it too, before it kept it.

    That one had to be started again. Then the steward waits for a key that nobody has; or makes another, as the
    aggregator does not show that it had one, and silos see what it said under the first and stop. Nobody has trained.
    """
    again = any(len(ends) > (silo in world.ended) for silo, ends in world.reasons.items() if silo != STEWARD)
    return STEWARD in _put_back(world) and again and not world.trained and not world.opened


def _forgot(world: World) -> bool:
    """Whether the aggregator got an old copy: then it is as good as one that lies, and silos that see it stop."""
    return 0 in _put_back(world)


def _put_back(world: World) -> set[int]:
    """Parties whose folder is put back to an old copy."""
    return {op.party for op in world.operations if isinstance(op, Restore)}


def _able(world: World) -> int:
    """Silos that go on or went through to the end."""
    return sum(silo not in world.ended or silo in world.finished for silo in world.silos)


def _concerns(op: Operation, silo: int) -> bool:
    return (op.party if isinstance(op, Kill | Disk | Restore | Jump | Expire) else op.silo) == silo


def _entries(world: World, silo: int, kind: str) -> list[Entry]:
    return [entry for entry in world.entries(silo) if entry.kind == kind]


def _rounds(world: World, silo: int, kind: str) -> list[int]:
    return [_round(entry) for entry in _entries(world, silo, kind)]


def _round(entry: Entry) -> int:
    return int(str(entry.body["round"]))
