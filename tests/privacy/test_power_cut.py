"""What `privacy.durable` said is done is there after a power cut at any instant, and nothing is there in part."""

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy import durable
from tests import power

NAMES = st.sampled_from(["key", "head", "deep/key", "deep/er/key"])
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["create", "write", "append"]), NAMES, st.binary(min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["remove", "destroy"]), NAMES, st.just(b"")),
)
Operation = tuple[str, str, bytes]
Content = dict[str, bytes]


def act(root: Path, what: str, name: str, data: bytes) -> None:
    """Do one thing, where it can be done."""
    path = root / name
    if what in ("create", "write", "append"):
        durable.make_folder(path.parent)
    match what:
        case "create" if not path.exists():
            durable.create(path, data)
        case "write":
            durable.write(path, data)
        case "append":
            with path.open("ab") as file:
                file.write(data)
            durable.sync(path)
        case "remove" if path.parent.exists():
            durable.remove(path)
        case "destroy" if path.exists():
            durable.destroy(path)
            durable.sync_folder(path.parent)


def content(root: Path) -> Content:
    """Every file but those that are left of a write that did not end."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def play(operations: list[Operation], at: int, reached: power.Reached) -> int:
    """Fails if what was said to be done is not there after the cut, or anything in part; gives the syncs that were."""
    with tempfile.TemporaryDirectory(dir=power.MEMORY) as folder:
        root, survived = Path(folder) / "root", Path(folder) / "survived"
        root.mkdir()
        done, doing = Content(), ("nothing", "", b"")
        with power.cut(root, survived, at, reached) as disk:
            for operation in operations:
                doing = operation
                act(root, *operation)
                done, doing = content(root), ("nothing", "", b"")
        what, name, data = doing
        left = content(survived)
        before, after = done.pop(name, None), left.pop(name, None)
        assert left == done, f"lost during {what} {name}"
        allowed: dict[str, set[bytes | None]] = {
            "nothing": {before},
            "create": {before, *torn(b"", data)},
            "write": {before, data},
            "append": {before, *torn(before or b"", data)},
            "remove": {before, None},
            "destroy": {before, None, bytes(len(before or b""))},
        }
        assert after in allowed[what], (what, name, before, after)
        return disk.syncs


def torn(before: bytes, more: bytes) -> set[bytes | None]:
    """What may be there of something that is only said to be there when it is whole."""
    return {before + more[:size] for size in range(len(more) + 1)}


HISTORY: list[Operation] = [
    ("create", "key", b"one"),
    ("write", "key", b"two"),
    ("write", "deep/er/key", b"three"),
    ("append", "deep/er/key", b"four"),
    ("append", "deep/head", b"five"),
    ("remove", "key", b""),
    ("create", "key", b"six"),
    ("destroy", "deep/er/key", b""),
]


@pytest.mark.parametrize("reached", power.EXTREMES.values(), ids=power.EXTREMES)
def test_what_is_done_is_done_at_every_instant_of_a_history(reached: power.Reached) -> None:
    assert power.at_every_instant(lambda at: play(HISTORY, at, reached)) > len(HISTORY)


@given(operations=st.lists(OPERATIONS, min_size=1, max_size=8), at=st.integers(0, 25), random=st.randoms())
def test_what_is_done_is_done_whatever_else_reached_the_disk(
    operations: list[Operation], at: int, random: Random
) -> None:
    play(operations, at, lambda _: random.random() < 0.5)


def test_what_was_not_synced_is_lost(tmp_path: Path) -> None:
    """The disk itself: without this the other tests say nothing."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "old").write_bytes(b"old")
    with power.cut(tmp_path / "root", tmp_path / "survived", 1000, power.EXTREMES["only what was synced"]):
        (tmp_path / "root" / "old").write_bytes(b"newer")
        (tmp_path / "root" / "new").write_bytes(b"new")
        durable.sync_folder(tmp_path / "root")
        (tmp_path / "root" / "newest").write_bytes(b"newest")
    assert content(tmp_path / "survived") == {"old": b"old", "new": b""}
