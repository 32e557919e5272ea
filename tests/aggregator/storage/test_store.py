"""What the aggregator keeps: whole uploads at once, private files, nothing of what was torn."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.storage import database, frame_files
from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import CorruptState, ProtocolError
from tests import stored
from tests.aggregator.storage.operations import MESSAGE, OPERATIONS, act

OTHER = Signed("sign", b"other", "north", b"\1" * 64)


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(tmp_path / "study")


def arrive(store: StudyStore, silo: int, number: int = 1, frame: bytes = b"frame") -> None:
    incoming = store.round(number).incoming(silo, MESSAGE)
    incoming.put(0, b"seeds")
    incoming.put(1, frame)
    incoming.commit()


def files(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "study/frames").iterdir())


def test_an_upload_appears_when_it_is_committed_and_not_before(store: StudyStore) -> None:
    incoming = store.round(1).incoming(2, MESSAGE)
    assert list(store.round(1).uploads()) == []
    incoming.commit()
    assert list(store.round(1).uploads()) == [(2, MESSAGE)]
    assert list(store.round(1).arriving()) == []


def test_an_arriving_upload_is_found_again_with_whole_pieces_only(store: StudyStore, tmp_path: Path) -> None:
    incoming = store.round(1).incoming(2, MESSAGE)
    incoming.put(0, b"seeds")
    incoming.put(1, b"frame")
    torn = [tmp_path / "study/frames" / name for name in ("." + "0" * 64 + ".12", "0" * 64)]
    for path in torn:
        path.write_bytes(b"half a fra")
    store.clear_torn()
    assert files(tmp_path) == [b"frame"]
    assert list(store.round(1).arriving()) == [(2, MESSAGE)]
    again = store.round(1).incoming(2, OTHER)
    assert [piece for piece in range(4) if again.has(piece)] == [0, 1]
    again.commit()
    assert list(store.round(1).uploads()) == [(2, MESSAGE)], "the first header is final"


def test_a_complete_upload_takes_no_more(store: StudyStore) -> None:
    arrive(store, 2)
    with pytest.raises(RuntimeError):
        store.round(1).incoming(2, OTHER)
    assert store.round(1).frame(2, 0) == b"frame"


def test_a_piece_of_an_upload_that_was_forgotten_or_is_there_is_refused(store: StudyStore, tmp_path: Path) -> None:
    incoming = store.round(1).incoming(2, MESSAGE)
    incoming.put(1, b"frame")
    with pytest.raises(RuntimeError):
        incoming.put(1, b"other")
    assert store.round(1).frame(2, 0) == b"frame"
    store.round(1).clear_arriving()
    with pytest.raises(RuntimeError):
        incoming.put(1, b"late")
    store.clear_torn()
    assert files(tmp_path) == []


def test_what_was_arriving_is_forgotten(store: StudyStore, tmp_path: Path) -> None:
    arrive(store, 1)
    store.round(1).incoming(2, MESSAGE).put(1, b"torn")
    store.round(1).clear_arriving()
    assert [silo for silo, _ in store.round(1).uploads()] == [1]
    assert list(store.round(1).arriving()) == []
    assert files(tmp_path) == [b"frame"]


def test_a_frame_that_two_rows_name_stays_until_both_are_gone(store: StudyStore, tmp_path: Path) -> None:
    arrive(store, 1)
    arrive(store, 1, number=2)
    store.round(1).scrub()
    assert store.round(2).frame(1, 0) == b"frame"
    store.round(2).scrub()
    assert files(tmp_path) == []


def test_messages_are_found_by_kind_and_silo(store: StudyStore) -> None:
    for silo in (10, 2):
        store.round(1).put(f"sign-{silo}", MESSAGE)
    store.round(1).put("survivors", MESSAGE)
    assert sorted(store.round(1).all("sign")) == [(2, MESSAGE), (10, MESSAGE)]
    assert store.round(1).get("survivors") == MESSAGE
    assert store.round(1).get("abandon") is None


def test_scrubbed_ciphertext_is_gone_by_name_and_headers_and_seeds_stay(store: StudyStore) -> None:
    arrive(store, 1)
    store.round(1).put_sum(0, b"sum")
    assert store.round(1).sum_frame(0) == b"sum"
    store.round(1).scrub()
    assert list(store.round(1).uploads()) == [(1, MESSAGE)]
    assert store.round(1).seeds(1) == b"seeds"
    for gone in (lambda: store.round(1).sum_frame(0), lambda: store.round(1).frame(1, 0)):
        with pytest.raises(ProtocolError) as caught:
            gone()
        assert caught.value.code == "sum.gone"


def test_a_frozen_set_is_stored_once(store: StudyStore) -> None:
    assert store.round(1).get_set("shared") is None
    store.round(1).keep_sets({"advertised": (1, 2, 10), "shared": (1, 2)})
    store.round(1).keep_sets({"advertised": (1, 2), "shared": (1, 2)})
    assert store.round(1).get_set("advertised") == (1, 2, 10)
    assert store.round(1).get_set("shared") == (1, 2)


def test_the_last_round_is_the_highest(store: StudyStore) -> None:
    assert store.last_round() == 0
    arrive(store, 1, number=9)
    arrive(store, 1, number=10)
    assert store.last_round() == 10


def test_everything_is_private(store: StudyStore, tmp_path: Path) -> None:
    arrive(store, 1)
    store.round(1).put_sum(0, b"sum")
    store.keys.put("request-1", MESSAGE)
    for path in (tmp_path / "study").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_frame_that_the_disk_altered_or_lost_is_never_given(store: StudyStore, tmp_path: Path) -> None:
    arrive(store, 1)
    (path,) = (tmp_path / "study/frames").iterdir()
    for spoil in (lambda: path.write_bytes(b"frumm"), path.unlink):
        spoil()
        with pytest.raises(CorruptState) as caught:
            store.round(1).frame(1, 0)
        assert caught.value.code == "state.frame"


class Killed(BaseException):
    pass


@settings(max_examples=15)
@given(operations=st.lists(OPERATIONS, min_size=1, max_size=12), last=st.integers(0, 40))
def test_what_was_stored_is_there_after_a_kill_at_any_step_and_files_fit(
    operations: list[tuple[Any, ...]], last: int
) -> None:
    """All that was done up to the kill; of what was being done, each step whole or not at all."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        study, steps, before = Path(folder), [0], dict[str, Any]()
        write, commit = frame_files.write, database.commit

        def counted(step: Callable[..., None]) -> Callable[..., None]:
            def instead(*arguments: Any) -> None:
                steps[0] += 1
                if steps[0] > last:
                    raise Killed
                step(*arguments)
                before.update(now=stored.content(study))

            return instead

        store = StudyStore(study)
        before["now"] = stored.content(study)
        patch.setattr(frame_files, "write", counted(write))
        patch.setattr(database, "commit", counted(commit))
        with suppress(Killed):
            for operation in operations:
                act(store, *operation)
        patch.undo()
        copied = study.with_name(f"{study.name}-after")
        shutil.copytree(study, copied)
        try:
            again = StudyStore(copied)
            again.clear_torn()
            assert stored.content(copied) == before["now"]
            named = {hashlib.sha256(data).hexdigest() for name, data in before["now"].items() if "/frame-" in name}
            assert {path.name for path in (copied / "frames").iterdir()} == named
            again.close()
            store.close()
        finally:
            shutil.rmtree(copied)
