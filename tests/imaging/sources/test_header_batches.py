"""Headers of many files: in order, no more asked for than is in flight, and a reason for each that cannot be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.sources import header_batches
from imaging.sources.folder import FoundFile, walk
from imaging.sources.header import Header


@pytest.fixture
def three(tmp_path: Path, make_dicom, encoded) -> Path:
    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(encoded(make_dicom()))
    return tmp_path


def test_files_come_in_batches(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_batches, "BATCH", 2)
    assert [len(batch) for batch in header_batches.batches(walk(three))] == [2, 1]
    assert list(header_batches.batches([])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_each_result_stands_beside_its_file_in_order(three: Path, workers: int) -> None:
    files = sorted(walk(three), key=lambda found: found.path)
    link = FoundFile("link.dcm", 1, 0, regular=False)
    wanted = [(2, files[:2]), (5, []), (2, [files[2], link])]
    results = list(header_batches.read(str(three), iter(wanted), workers))
    assert sorted(count for count, _ in results) == [2, 2, 5]
    read = [pair for _, pairs in results for pair in pairs]
    assert [found for found, _ in read] == [*files, link]
    assert all(isinstance(result, Header) for _, result in read[:3])
    assert read[3][1] == header_batches.NOT_A_FILE


def test_no_more_is_asked_for_than_is_read(three: Path) -> None:
    asked: list[int] = []

    def wanted() -> Iterator[tuple[int, list[FoundFile]]]:
        for number, found in enumerate(walk(three)):
            asked.append(number)
            yield 1, [found]

    results = header_batches.read(str(three), wanted(), 1)
    next(results)
    assert asked == [0]
