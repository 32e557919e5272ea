"""Checking many Ed25519 signatures on all cores: in batches on threads, since the library lets go of Python's lock.

Which signature is over what is the caller's business. Order is kept: the error is that of the first bad one.
"""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy.errors import CorruptState

BATCH = 1024
_MOST_THREADS = 16

Claim: TypeAlias = tuple[int, bytes, bytes]
"""Sequence number, signature and the bytes it is over."""


class Checker:
    """Takes claims as they are read; `settle` says whether all held. A context manager that ends its threads.

    Args:
        key: whose signatures they must be.
    """

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self._batch: list[Claim] = []
        self._running: deque[Future[None]] = deque()
        self._threads = max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0))))
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Checker":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def add(self, claim: Claim) -> None:
        """Check a signature, now or soon; a few batches may be waiting.

        Raises:
            CorruptState: one of those added before is bad.
        """
        self._batch.append(claim)
        if len(self._batch) == BATCH:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads)
            self._running.append(self._pool.submit(_check, self._key, self._batch))
            self._batch = []
            if len(self._running) > 2 * self._threads:
                self._running.popleft().result()

    def settle(self) -> None:
        """Wait until all that were added are checked.

        Raises:
            CorruptState: names the first bad one.
        """
        while self._running:
            self._running.popleft().result()
        batch, self._batch = self._batch, []
        _check(self._key, batch)


def _check(key: Ed25519PublicKey, claims: list[Claim]) -> None:
    for sequence, signature, data in claims:
        try:
            key.verify(signature, data)
        except InvalidSignature as error:
            raise CorruptState(
                f"ledger entry {sequence} was changed or signed by another party", code="ledger.signature"
            ) from error
