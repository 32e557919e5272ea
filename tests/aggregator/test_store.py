"""What the aggregator keeps: whole uploads by one rename, private files, nothing of what was torn."""

from pathlib import Path

import pytest

from aggregator.store import StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError, StorageError
from privacy.wire import bodies

MESSAGE = Signed("sign", b"body", "north", b"\1" * 64)


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(tmp_path / "study")


def arrive(store: StudyStore, silo: int, number: int = 1) -> None:
    incoming = store.round(number).incoming(silo)
    incoming.put("header", bodies.encode_signed(MESSAGE))
    incoming.put("seeds", b"seeds")
    incoming.put("frame-0", b"frame")
    incoming.commit()


def test_an_upload_appears_when_it_is_committed_and_not_before(store: StudyStore) -> None:
    incoming = store.round(1).incoming(2)
    incoming.put("header", bodies.encode_signed(MESSAGE))
    assert list(store.round(1).uploads()) == []
    incoming.commit()
    assert list(store.round(1).uploads()) == [(2, MESSAGE)]


def test_an_arriving_upload_is_found_again_with_whole_pieces_only(store: StudyStore, tmp_path: Path) -> None:
    store.round(1).incoming(2).put("header", bodies.encode_signed(MESSAGE))
    store.round(1).incoming(2).put("seeds", b"seeds")
    torn = [tmp_path / "study" / place for place in ("rounds/000001/arriving-2/.frame-0.12", "keys/.request-1.34")]
    for path in torn:
        path.write_bytes(b"half a fra")
    store.clear_torn()
    assert not any(path.exists() for path in torn)
    assert list(store.round(1).arriving()) == [(2, MESSAGE)]
    again = store.round(1).incoming(2)
    assert [name for name in ("header", "seeds", "frame-0") if again.has(name)] == ["header", "seeds"]
    again.commit()
    assert sorted(path.name for path in (tmp_path / "study/rounds/000001/upload-2").iterdir()) == ["header", "seeds"]


def test_a_place_without_a_header_is_no_upload(store: StudyStore) -> None:
    store.round(1).incoming(2).put("seeds", b"seeds")
    assert list(store.round(1).arriving()) == []


def test_a_second_upload_of_a_silo_cannot_replace_the_first(store: StudyStore) -> None:
    arrive(store, 2)
    again = store.round(1).incoming(2)
    again.put("frame-0", b"other")
    with pytest.raises(StorageError):
        again.commit()
    assert store.round(1).frame(2, 0) == b"frame"


def test_what_was_arriving_is_forgotten(store: StudyStore, tmp_path: Path) -> None:
    arrive(store, 1)
    store.round(1).incoming(2).put("seeds", b"torn")
    store.round(1).clear_arriving()
    assert [path.name for path in (tmp_path / "study/rounds/000001").iterdir()] == ["upload-1"]


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
