"""No parser is forgotten: each that the source shows is fuzzed, or it is said why it is not."""

import sys
from collections import defaultdict
from pathlib import Path
from types import FrameType

import pytest

from tests.fuzz import readers
from tests.fuzz.document_targets import FILES
from tests.fuzz.targets import TARGETS

BY_TARGET = defaultdict(set)
for _reader, _target in (readers.FUZZED_BY | readers.BESIDE).items():
    BY_TARGET[_target].add(_reader)


def test_every_reader_is_fuzzed_or_it_is_said_why_it_is_not() -> None:
    listed = [*readers.FUZZED_BY, *readers.NOT_FUZZED]
    assert sorted(listed) == sorted(readers.found()), (
        "give a new reader a target, or a reason, in tests/fuzz/readers.py"
    )
    assert BY_TARGET.keys() <= TARGETS.keys()


def test_every_kind_of_file_is_fuzzed() -> None:
    assert set(readers.kinds()) == {kind.__name__ for kind in FILES}


def test_a_new_reader_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aggregator").mkdir()
    (tmp_path / "aggregator/new.py").write_text(
        "class A:\n  def one(self, x):\n    return json.loads(x)\n"
        "def decode_two(data: bytes): ...\ndef three(data: str): ...\n"
        "def four(path):\n  from safetensors.numpy import load\n  return load(path)\n"
    )
    monkeypatch.setattr(readers, "ROOT", tmp_path)
    assert list(readers.found()) == ["aggregator.new:A.one", "aggregator.new:decode_two", "aggregator.new:four"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BY_TARGET))
def test_a_target_reaches_the_readers_that_it_is_for(name: str) -> None:
    reached = set()

    def called(frame: FrameType, event: str, argument: object) -> None:
        reached.add(frame.f_code)

    target = TARGETS[name]
    for data in (*target.seeds(), *(path.read_bytes() for path in target.kept())):
        before = sys.gettrace()
        sys.settrace(called)
        try:
            target.run(data)
        finally:
            sys.settrace(before)
    root = f"{readers.ROOT}/"
    seen = {
        f"{code.co_filename.removeprefix(root)[:-3].replace('/', '.')}:{code.co_qualname.replace('.<locals>', '')}"
        for code in reached
        if code.co_filename.startswith(root)
    }
    assert BY_TARGET[name] <= seen
