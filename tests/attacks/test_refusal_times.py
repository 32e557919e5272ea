"""Attack 6, one timing class: refusing a sum of six frames takes as long whatever is wrong with it.

That the steps are the same is checked in every run (`test_reaction_attack`). Here CPU time is compared, from the
downloaded frames to the refusal, in rounds of one try each, so that a loaded machine slows all kinds alike, and by
medians. What is left between kinds must be below what one more or one fewer check would cost.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import pytest

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.secagg.survivors import CheckedSurvivors, check_sum
from privacy.study import Encryption
from privacy.wire.messages import Survivors, UploadHeader
from tests.secure_round import Cast, Round, Words

SURVIVORS = (1, 2, 3)
FRAMES, TRIES, TOLERANCE = 6, 15, 1.15
AUDITED = (2,)


@dataclass
class Served:
    """A list, the frames of its sum and those of its uploads, as one silo gets them."""

    run: Round
    checked: CheckedSurvivors
    sum: list[bytes]
    uploads: Mapping[int, list[bytes]]

    def cost(self) -> float:
        """CPU seconds until the sum is refused."""
        start = time.process_time()
        with pytest.raises(ProtocolError) as caught:
            self.check()
        assert caught.value.code == "sum.refused"
        return time.process_time() - start

    def check(self) -> None:
        run = self.run
        check_sum(
            self.checked,
            self.sum.__getitem__,
            lambda silo, frame: self.uploads[silo][frame],
            AUDITED,
            run.mac,
            run.params,
            run.length,
            1,
        )

    def serving(self, words: Words) -> "Served":
        """Another sum, which the list names."""
        encoded = [frames.encode(np.ascontiguousarray(frame), self.run.params) for frame in words]
        return replace(self, sum=encoded, checked=self.listing(sum_frame_sha256=tuple(map(frames.digest, encoded))))

    def listing(self, **changes: object) -> CheckedSurvivors:
        """Another list."""
        return replace(self.checked, survivors=replace(self.checked.survivors, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def honest() -> Served:
    params = CiphertextParams.for_study(Encryption(length=1), 3)
    length = params.values_per_ciphertext * params.ciphertexts_per_frame * FRAMES
    run = Round(Cast(3), params, length).until_uploads()
    sizes = params.frame_sizes(length)
    uploads = {silo: [frames.encode(frame, params) for frame in run.masked[silo]] for silo in SURVIVORS}
    headers = tuple(
        UploadHeader(
            ctx=run.ctx,
            round_number=1,
            silo_index=silo,
            frame_bytes=sizes,
            frame_sha256=tuple(map(frames.digest, uploads[silo])),
            seeds_sha256=bytes(32),
            share_set=run.share_set.digest,
            tag=run.tags[silo],
        )
        for silo in SURVIVORS
    )
    served = [frames.encode(frame, params) for frame in run.masked_sum(SURVIVORS)]
    survivors = Survivors(
        ctx=run.ctx,
        round_number=1,
        members=tuple((silo, bytes(32)) for silo in SURVIVORS),
        sum_frame_bytes=sizes,
        sum_frame_sha256=tuple(map(frames.digest, served)),
        share_set=run.share_set.digest,
    )
    return Served(run, CheckedSurvivors(survivors, bytes(32), (b"",) * 3, headers), served, uploads)


def changed(served: Served, frame: int, place: tuple[int, int, int]) -> Served:
    """One word is larger by one."""
    words = served.run.masked_sum(SURVIVORS)
    prime = served.run.params.primes[place[1]]
    words[frame][place] = (int(words[frame][place]) + 1) % prime
    return served.serving(words)


def each(served: Served, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Served:
    """Every word is another."""
    moduli = frames.moduli(served.run.params)
    return served.serving([change(frame, moduli) for frame in served.run.masked_sum(SURVIVORS)])


def other_tag(served: Served) -> Served:
    """The sum is right, a survivor's tag is not."""
    headers = (replace(served.checked.headers[0], tag=bytes(len(served.checked.headers[0].tag))),)
    return replace(served, checked=replace(served.checked, headers=(*headers, *served.checked.headers[1:])))


def other_upload(served: Served) -> Served:
    """The sum is right, an audited frame is not the one that its silo signed."""
    frame = served.uploads[1][AUDITED[0]]
    uploads = [*served.uploads[1]]
    uploads[AUDITED[0]] = bytes([frame[0] ^ 1]) + frame[1:]
    return replace(served, uploads={**served.uploads, 1: uploads})


KINDS: Mapping[str, Callable[[Served], Served]] = {
    "first word": lambda served: changed(served, 0, (0, 0, 0)),
    "last word": lambda served: changed(served, FRAMES - 1, (-1, -1, -1)),
    "constant added": lambda served: each(served, lambda frame, moduli: (frame + np.uint64(1 << 30)) % moduli),
    "scaled": lambda served: each(served, lambda frame, moduli: frame * np.uint64(2) % moduli),
    "an upload left out": lambda served: served.serving(served.run.masked_sum((1, 2))),
    "first digest": lambda served: replace(
        served, checked=served.listing(sum_frame_sha256=(bytes(32), *served.checked.survivors.sum_frame_sha256[1:]))
    ),
    "last digest": lambda served: replace(
        served, checked=served.listing(sum_frame_sha256=(*served.checked.survivors.sum_frame_sha256[:-1], bytes(32)))
    ),
    "a tag": other_tag,
    "an audited frame": other_upload,
}


@pytest.mark.slow
def test_refusals_take_as_long_whatever_is_wrong(honest: Served) -> None:
    honest.check()
    altered = {name: alter(honest) for name, alter in KINDS.items()}
    costs: dict[str, list[float]] = {name: [] for name in altered}
    for _ in range(TRIES):
        for name, served in altered.items():
            costs[name].append(served.cost())
    typical = {name: median(found) for name, found in costs.items()}
    assert max(typical.values()) < TOLERANCE * min(typical.values()), typical
