"""Reads the headers of many files, batch by batch, here or by worker processes; results come in order.

A few batches are in flight, and no more. Which files need to be read is the caller's; what a header says is `header`'s.
A worker that ends early is a `BrokenExecutor`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeAlias

from imaging.sources import header
from imaging.sources.folder import FoundFile

BATCH = 256
"""Files that a worker reads, and that one transaction stores."""
NOT_A_FILE = "file.not_regular"
Result: TypeAlias = header.Header | str
"""A header, or the code of why there is none."""


def batches(files: Iterable[FoundFile]) -> Iterator[list[FoundFile]]:
    """Files in lists of `BATCH`; the last one may be shorter."""
    iterator = iter(files)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def read(
    root: str, found: Iterable[tuple[int, list[FoundFile]]], workers: int
) -> Iterator[tuple[int, list[tuple[FoundFile, Result]]]]:
    """(files of the batch, what was read of it) for each batch.

    Args:
        root: folder that the files are below.
        found: (files of the batch, those of them to read) for each batch; asked for as they are needed.
        workers: processes that read; with 1 this process reads.
    """
    if workers <= 1:
        for files, fresh in found:
            yield files, list(zip(fresh, _read_batch(root, fresh), strict=True))
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting: deque[tuple[int, list[FoundFile], Future[list[Result]]]] = deque()
        for files, fresh in found:
            if not fresh:
                yield files, []  # starts no worker
                continue
            waiting.append((files, fresh, pool.submit(_read_batch, root, fresh)))
            if len(waiting) > 2 * workers:
                yield _done(waiting.popleft())
        while waiting:
            yield _done(waiting.popleft())


def _read_batch(root: str, batch: Sequence[FoundFile]) -> list[Result]:
    """The headers of a batch; runs in a worker."""
    return [_read_one(root, found) for found in batch]


def _read_one(root: str, found: FoundFile) -> Result:
    if not found.regular:
        return NOT_A_FILE
    try:
        return header.read(f"{root}/{found.path}")
    except header.HeaderRejected as error:
        return error.code


def _done(waiting: tuple[int, list[FoundFile], Future[list[Result]]]) -> tuple[int, list[tuple[FoundFile, Result]]]:
    files, fresh, future = waiting
    return files, list(zip(fresh, future.result(), strict=True))
