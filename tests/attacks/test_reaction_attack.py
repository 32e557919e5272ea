"""Attacks 6 and 7 against running silos: every altered sum is refused before the keyholder is called, with one code.

An aggregator that serves sums of its own making and watches which are refused learns the secret key bit by bit, if
what answers is the keyholder. With the checks of M4 switched off every altered sum reaches it; with them none does,
no share is revealed, every refusal reads the same, and a silo that refused asks for no second sum.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aggregator import fold as folding
from aggregator.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.secagg.survivors import CheckedSurvivors, VerifiedSum
from privacy.wire import bodies
from privacy.wire.messages import AwaitRequest, Board, Reject, Survivors, UploadHeader
from tests.attacks.stage import HidesRejects, Stage, codes, incidents, kinds, stage_of

REFUSED = "sum.refused"
Words = np.ndarray


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        yield stage_of(tmp_path_factory.mktemp("members"), patch)


@pytest.fixture
def stage(members: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(members.federation, monkeypatch).at(tmp_path)


def other_silos(choose: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[..., tuple[bytes, ...]]:
    """Adds other uploads than the list will name."""
    return lambda params, sizes, silos, store: folding.fold(params, sizes, choose(tuple(silos)), store)


def altered(change: Callable[[Words, Words, Words], Words]) -> Callable[..., tuple[bytes, ...]]:
    """Changes the words of the right sum; a change is also given those of one upload, and the moduli."""

    def fold(params: CiphertextParams, sizes: tuple[int, ...], silos: tuple[int, ...], store: RoundStore) -> object:
        folding.fold(params, sizes, silos, store)
        digests = []
        for index, size in enumerate(sizes):
            count = size // params.ciphertext_bytes
            words = frames.decode(store.sum_frame(index), count, params)
            upload = frames.decode(store.frame(silos[0], index), count, params)
            frame = frames.encode(np.ascontiguousarray(change(words, upload, frames.moduli(params))), params)
            store.put_sum(index, frame)
            digests.append(frames.digest(frame))
        return tuple(digests)

    return fold  # type: ignore[return-value]


def one_word(words: Words, upload: Words, moduli: Words) -> Words:
    changed = words.copy()
    changed[0, 0, 5] = (changed[0, 0, 5] + np.uint64(1)) % moduli[0, 0]
    return changed


def half(words: Words, upload: Words, moduli: Words) -> Words:
    """The first half of the coefficients of the sum without a silo, the second half of the sum."""
    mixed = words.copy()
    middle = words.shape[-1] // 2
    mixed[..., :middle] = ((words + moduli - upload) % moduli)[..., :middle]
    return mixed


ALTERATIONS = {
    "dropped": other_silos(lambda silos: silos[:-1]),
    "doubled": altered(lambda words, upload, moduli: (words + upload) % moduli),
    "one for another": other_silos(lambda silos: (*silos[:-1], silos[0])),
    "mixed": altered(half),
    "reordered": altered(lambda words, upload, moduli: words[..., ::-1]),
    "constant added": altered(lambda words, upload, moduli: (words + np.uint64(1 << 30)) % moduli),
    "scaled": altered(lambda words, upload, moduli: words * np.uint64(2) % moduli),
    "zeroed": altered(lambda words, upload, moduli: np.zeros_like(words)),
    "one word": altered(one_word),
}


class ZeroesSeeds(HidesRejects):
    """Serves zeros for the seeds of c1."""

    def wait(self, request: AwaitRequest) -> Board:
        board = super().wait(request)
        return Board(board.reached, board.phase, board.messages, tuple(bytes(len(seeds)) for seeds in board.seeds))


def gullible(patch: pytest.MonkeyPatch) -> None:
    """Switch off what silos check of M4."""

    def check_survivors(messages: tuple[Signed, ...], seeds: tuple[bytes, ...], **given: object) -> CheckedSurvivors:
        study = given["study"]
        survivors = bodies.open_signed(messages[0], Survivors, bytes.fromhex(study.roster.aggregator.identity))
        headers = tuple(
            bodies.open_signed(message, UploadHeader, bytes.fromhex(study.roster.silos[index - 1].identity))
            for (index, _), message in zip(survivors.members, messages[1:], strict=False)
        )
        return CheckedSurvivors(survivors, protocol_hash("survivors", messages[0].body), tuple(seeds), headers)

    patch.setattr("silo_node.opening.check_survivors", check_survivors)
    patch.setattr("silo_node.opening.check_sum", lambda checked, frame_of, *_: VerifiedSum(checked, frame_of))
    patch.setattr("silo_node.opening.audit.check", lambda *_: None)


@pytest.mark.parametrize("name", [*ALTERATIONS, "c1 zeroed"])
def test_attack_reaction(stage: Stage, name: str, tmp_path: Path) -> None:
    hub = HidesRejects if name in ALTERATIONS else ZeroesSeeds
    if name in ALTERATIONS:
        stage.patch.setattr("aggregator.coordinator.fold", ALTERATIONS[name])
    asked = stage.openings()
    # On: nobody asks a keyholder, nobody reveals a share, and all say the same.
    agents, results = stage.at(tmp_path / "on").play(hub)
    assert codes(results) == {REFUSED}
    assert asked == []
    store = stage.store(1)
    assert not list(store.all("unmask"))
    assert not list(store.all("sign"))
    rejects = [message for _, message in store.all("hidden")]
    assert len(rejects) == len(agents)
    assert len({str(result) for result in results}) == 1
    for agent, message in zip(agents, rejects, strict=True):
        reject = bodies.open_signed(message, Reject, agent.identity.keys.public_identity)
        assert reject.code == REFUSED
        assert incidents(agent) == [REFUSED]
        assert "survivors_signed" not in kinds(agent)
    # Off: the altered sum reaches every keyholder, whose answer tells about the key.
    with pytest.MonkeyPatch.context() as patch:
        gullible(patch)
        stage.at(tmp_path / "off").play(hub)
    assert len(asked) >= len(agents)


class CountsFetches(HidesRejects):
    """Serves another altered sum at each look, and remembers who took one."""

    fetched: list[int]

    def sum_frames(self, request: object) -> Iterator[bytes]:
        type(self).fetched.append(1)
        return super().sum_frames(request)  # type: ignore[arg-type]


def test_attack_second_sum(stage: Stage) -> None:
    """A silo that refused a sum is started again: it halts and takes no second one, until a person acts."""
    stage.patch.setattr("aggregator.coordinator.fold", ALTERATIONS["scaled"])
    CountsFetches.fetched = []
    _, first = stage.play(CountsFetches)
    assert codes(first) == {REFUSED}
    taken = len(CountsFetches.fetched)
    agents, second = stage.play(CountsFetches)
    assert codes(second) == {"study.halted"}
    assert len(CountsFetches.fetched) == taken
    # Off: without the mark of the halt they fetch, and answer, again.
    for agent in agents:
        agent.folder.halted.unlink()
    stage.play(CountsFetches)
    assert len(CountsFetches.fetched) > taken
