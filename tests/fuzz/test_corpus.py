"""Every kept input and mutants of every seed are parsed or refused as documented, soon and in little memory.

The search for new ones is `make fuzz`; this keeps what it found from coming back, and shows that the harness sees
what it is there for.
"""

import random
import time
import tracemalloc
import warnings
from collections.abc import Iterator

import pytest

from privacy.errors import ProtocolError
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

MUTANTS = 12
SECONDS = 5.0
SLOW = {"report"}
"""Targets that take as long as all others together."""


def mutants(target: Target) -> Iterator[bytes]:
    """Seeds with a few bytes altered, cut off, repeated or put in; the same ones each time."""
    dice = random.Random(target.name)
    for seed in target.seeds():
        yield seed
        for _ in range(MUTANTS):
            data = bytearray(seed)
            for _ in range(dice.randint(1, 4)):
                at = dice.randrange(len(data) + 1)
                match dice.randrange(4):
                    case 0:
                        data[at : at + 1] = bytes([dice.randrange(256)])
                    case 1:
                        del data[at : at + dice.randint(1, 16)]
                    case 2:
                        data[at:at] = data[dice.randrange(len(data) + 1) :][:64]
                    case _:
                        data[at:at] = dice.choice((b"\xff" * 8, b"\x00" * 4, b"\xff\xff\xff\xff\x0f", b"[" * 64))
            yield bytes(data[: target.longest])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in TARGETS]
)
def test_what_is_kept_and_mutants_are_parsed_or_refused(name: str) -> None:
    target = TARGETS[name]
    for data in (*(path.read_bytes() for path in target.kept()), *mutants(target)):
        tracemalloc.start()
        began = time.monotonic()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            target.run(data)
        seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not said, "warnings quote values, and standard error is no place for these"
        assert seconds < SECONDS, data
        assert peak < target.megabytes * 2**20, data


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError(), MemoryError(), RecursionError()])
def test_an_error_that_is_not_documented_is_a_defect(error: Exception) -> None:
    def parse(data: bytes) -> object:
        raise error

    planted = Target("planted", parse, (ProtocolError,), lambda: iter([b""]))
    with pytest.raises(type(error)):
        planted.run(b"")


def test_every_folder_of_the_corpus_is_a_targets() -> None:
    from tests.fuzz.target import CORPUS

    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()
