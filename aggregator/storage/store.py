"""What the aggregator keeps of a study, each piece durable before it is acknowledged or published.

    <study>/study.sqlite        signed messages, frozen sets, headers and seeds of uploads, which frame is which file
    <study>/frames/<sha256>     ciphertext frames of uploads, sums and the snapshot

A frame is on the disk before the row that names it. Everything is ciphertext, digests or signed messages; there is
nothing here that a key of the aggregator could open. It decides nothing: what may be stored when is for
`aggregator.rounds.transitions`. All of it is thread-safe.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator.storage.database import Database, Row, damaged
from aggregator.storage.frame_files import FrameFiles
from aggregator.storage.plain_files import bring_forward
from aggregator.storage.schema import KEYS, SNAPSHOT, STEPS
from privacy.channel.envelope import Signed
from privacy.durable import make_folder
from privacy.errors import CorruptState, ProtocolError
from privacy.wire import bodies

DATABASE, FRAMES = "study.sqlite", "frames"


@dataclass(frozen=True)
class _State:
    """The two parts of a study's state."""

    database: Database
    files: FrameFiles

    def frame(self, query: str, *values: object, checked: bool) -> bytes:
        """The frame whose digest a query finds. Raises ProtocolError when it is no longer kept."""
        row = self.database.one(query, *values)
        if row is None:
            raise _gone()
        try:
            return self.files.read(row[0], checked=checked)
        except CorruptState as error:
            if self.database.one(query, *values) is None:  # scrubbed in between
                raise _gone() from error
            raise


class Incoming:
    """An upload while it arrives, piece by piece; nothing of it counts until `commit`. Piece 0 is the seeds."""

    def __init__(self, state: _State, number: int, silo: int) -> None:
        self._state, self._at = state, (number, silo)

    def put(self, piece: int, data: bytes) -> None:
        """Store one piece. A kill costs nothing of it; a power cut before `commit` may, and then it is sent again.

        Raises:
            StorageError: the disk refused.
            RuntimeError: a frame is there already, or nothing arrives here any more.
        """
        database = self._state.database
        if piece == 0:
            with database.writing(synced=False) as to:
                to.execute("UPDATE upload SET seeds = ? WHERE (place, silo) = (?, ?)", (data, *self._at))
            return
        digest = hashlib.sha256(data).digest()
        with self._state.files.adding(data, digest), database.writing(synced=False) as to:
            to.execute("INSERT INTO upload_frame VALUES (?, ?, ?, ?)", (*self._at, piece - 1, digest))

    def has(self, piece: int) -> bool:
        """Whether a piece is stored."""
        if piece == 0:
            query = "SELECT 1 FROM upload WHERE (place, silo) = (?, ?) AND seeds IS NOT NULL"
            return self._state.database.one(query, *self._at) is not None
        query = "SELECT 1 FROM upload_frame WHERE (place, silo, number) = (?, ?, ?)"
        return self._state.database.one(query, *self._at, piece - 1) is not None

    def commit(self) -> None:
        """Make the upload part of the round at once, durable with all its pieces. Raises StorageError."""
        with self._state.database.writing() as to:
            to.execute("UPDATE upload SET complete = 1 WHERE (place, silo) = (?, ?)", self._at)


class RoundStore:
    """What is kept of one round, or beside the rounds; a message is named `<kind>` or `<kind>-<silo>`."""

    def __init__(self, state: _State, place: int) -> None:
        self._state, self._place = state, place

    def incoming(self, silo: int, header: Signed) -> Incoming:
        """The place of a silo's arriving upload, with what came of it before; its first header is durable.

        Raises:
            StorageError: the disk refused.
            RuntimeError: the silo's upload is complete.
        """
        found = self._one("SELECT complete FROM upload WHERE (place, silo) = (?, ?)", silo)
        if found == (1,):
            raise RuntimeError("this upload is complete")
        if found is None:
            values = (self._place, silo, bodies.encode_signed(header))
            with self._state.database.writing() as to:
                to.execute("INSERT INTO upload (place, silo, header) VALUES (?, ?, ?)", values)
        return Incoming(self._state, self._place, silo)

    def arriving(self) -> Iterator[tuple[int, Signed]]:
        """Uploads that were begun and are not complete, by silo index, with their signed headers."""
        return self._headers(complete=0)

    def clear_arriving(self) -> None:
        """Forget what is arriving: the round takes no more. Raises StorageError."""
        if self._one("SELECT 1 FROM upload WHERE place = ? AND NOT complete") is not None:
            rows = self._rows(
                "SELECT sha256 FROM upload_frame JOIN upload USING (place, silo) WHERE place = ? AND NOT complete"
            )
            with self._state.database.writing() as to:
                to.execute("DELETE FROM upload WHERE place = ? AND NOT complete", (self._place,))
            self._state.files.remove([digest for (digest,) in rows])

    def uploads(self) -> Iterator[tuple[int, Signed]]:
        """Complete uploads by silo index, with their signed headers."""
        return self._headers(complete=1)

    def frame(self, silo: int, index: int) -> bytes:
        """One stored frame of an upload, as it was sent.

        Raises:
            ProtocolError: it is no longer kept.
            CorruptState: it is not what was stored.
        """
        query = "SELECT sha256 FROM upload_frame WHERE (place, silo, number) = (?, ?, ?)"
        return self._state.frame(query, self._place, silo, index, checked=True)

    def seeds(self, silo: int) -> bytes:
        """The stored encryption seeds of an upload."""
        found = self._one("SELECT seeds FROM upload WHERE (place, silo) = (?, ?)", silo)
        if found is None or found[0] is None:
            raise RuntimeError("only a complete upload is asked for its seeds")
        return bytes(found[0])

    def put_sum(self, index: int, frame: bytes) -> bytes:
        """Store one frame of the sum; gives its SHA-256. It is durable before the next message that is put.

        Raises:
            StorageError: the disk refused.
        """
        digest = hashlib.sha256(frame).digest()
        before = self._one("SELECT sha256 FROM sum_frame WHERE (place, number) = (?, ?)", index)
        # A frame's file may go only once no row that a power cut brings back names it.
        synced = before not in (None, (digest,))
        with self._state.files.adding(frame, digest), self._state.database.writing(synced=synced) as to:
            to.execute("INSERT OR REPLACE INTO sum_frame VALUES (?, ?, ?)", (self._place, index, digest))
        if before is not None:
            self._state.files.remove(before)
        return digest

    def sum_frame(self, index: int) -> bytes:
        """One stored frame of the sum, to be checked by who gets it. Raises ProtocolError when it is no longer kept."""
        query = "SELECT sha256 FROM sum_frame WHERE (place, number) = (?, ?)"
        return self._state.frame(query, self._place, index, checked=False)

    def sum_frames(self) -> frozenset[int]:
        """Which frames are stored."""
        return frozenset(number for (number,) in self._rows("SELECT number FROM sum_frame WHERE place = ?"))

    def put(self, name: str, message: Signed) -> None:
        """Store a signed message durably under a name such as `sign-2`. Raises StorageError."""
        values = (self._place, *_split(name), bodies.encode_signed(message))
        with self._state.database.writing() as to:
            to.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?)", values)

    def drop(self, name: str) -> None:
        """Forget a stored message durably, if it is there. Raises StorageError."""
        if self.get(name) is not None:
            with self._state.database.writing() as to:
                to.execute("DELETE FROM message WHERE (place, kind, silo) = (?, ?, ?)", (self._place, *_split(name)))

    def get(self, name: str) -> Signed | None:
        """A stored message, or None."""
        found = self._one("SELECT signed FROM message WHERE (place, kind, silo) = (?, ?, ?)", *_split(name))
        return bodies.decode_signed(found[0]) if found else None

    def all(self, kind: str) -> Iterator[tuple[int, Signed]]:
        """All stored messages `<kind>-<silo>`, by silo."""
        query = "SELECT silo, signed FROM message WHERE place = ? AND kind = ? AND silo > 0 ORDER BY silo"
        for silo, signed in self._rows(query, kind):
            yield silo, bodies.decode_signed(signed)

    def keep_sets(self, frozen: Mapping[str, tuple[int, ...]]) -> None:
        """Store durably, once, who is in each frozen set. Raises StorageError."""
        known = {name for (name,) in self._rows("SELECT name FROM frozen_set WHERE place = ?")}
        new = [(self._place, name, json.dumps(silos)) for name, silos in frozen.items() if name not in known]
        if new:
            with self._state.database.writing() as to:
                to.executemany("INSERT INTO frozen_set VALUES (?, ?, ?)", new)

    def get_set(self, name: str) -> tuple[int, ...] | None:
        """Who is in a frozen set, or None when it was never frozen."""
        found = self._one("SELECT members FROM frozen_set WHERE (place, name) = (?, ?)", name)
        try:
            return tuple(int(silo) for silo in json.loads(found[0])) if found else None
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            raise damaged() from error

    def scrub(self) -> None:
        """Drop all ciphertext frames, once no silo needs them to check and open the sum; headers and seeds stay."""
        rows = self._rows("SELECT sha256 FROM frame WHERE place = ?")
        if rows:
            with self._state.database.writing() as to:
                to.execute("DELETE FROM upload_frame WHERE place = ?", (self._place,))
                to.execute("DELETE FROM sum_frame WHERE place = ?", (self._place,))
            self._state.files.remove([digest for (digest,) in rows])

    def _headers(self, complete: int) -> Iterator[tuple[int, Signed]]:
        query = "SELECT silo, header FROM upload WHERE place = ? AND complete = ? ORDER BY silo"
        for silo, header in self._rows(query, complete):
            yield silo, bodies.decode_signed(header)

    def _rows(self, query: str, *values: Any) -> list[Row]:
        return self._state.database.rows(query, self._place, *values)

    def _one(self, query: str, *values: Any) -> Row | None:
        return self._state.database.one(query, self._place, *values)


class StudyStore:
    """All that is kept of one study.

    Raises:
        CorruptState: the database is damaged, or the folder holds what no version stored.
        StorageError: it was written by a newer version, or the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        bring_forward(folder, folder / DATABASE, folder / FRAMES)
        database = Database(folder / DATABASE, STEPS)
        self._state = _State(database, FrameFiles(folder / FRAMES, self._named))
        self.keys = RoundStore(self._state, KEYS)
        self.snapshot = RoundStore(self._state, SNAPSHOT)

    def clear_torn(self) -> None:
        """Forget what was being written when a process was killed; only while no other writes. Raises StorageError."""
        rows = self._state.database.rows("SELECT DISTINCT sha256 FROM frame")
        self._state.files.keep_only([digest for (digest,) in rows])

    def round(self, number: int) -> RoundStore:
        """The store of a round."""
        return RoundStore(self._state, number)

    def newest(self, silo: int, silos: int) -> tuple[Signed | None, Signed | None, tuple[Signed, ...]]:
        """The newest Close and Advertise of one silo of `silos`, and the newest Close of every other that has any."""
        others = (self._newest("close", index) for index in range(1, silos + 1) if index != silo)
        return (
            self._newest("close", silo),
            self._newest("advertise", silo),
            tuple(message for message in others if message is not None),
        )

    def last_round(self) -> int:
        """The highest round of which anything is stored, or 0."""
        row = self._state.database.one(
            "SELECT max(place) FROM (SELECT place FROM message UNION ALL SELECT place FROM frozen_set "
            "UNION ALL SELECT place FROM upload)"
        )
        return max(0, row[0] or 0) if row else 0

    def close(self) -> None:
        """Give the database back; the store cannot be used afterwards."""
        self._state.database.close()

    def _newest(self, kind: str, silo: int) -> Signed | None:
        query = "SELECT signed FROM message WHERE (kind, silo) = (?, ?) AND place > 0 ORDER BY place DESC LIMIT 1"
        row = self._state.database.one(query, kind, silo)
        return bodies.decode_signed(row[0]) if row else None

    def _named(self, digest: bytes) -> bool:
        return self._state.database.one("SELECT 1 FROM frame WHERE sha256 = ? LIMIT 1", digest) is not None


def _split(name: str) -> tuple[str, int]:
    """Kind and silo of a message's name; the aggregator's own have no silo, which is 0."""
    kind, _, silo = name.partition("-")
    return kind, int(silo or 0)


def _gone() -> ProtocolError:
    return ProtocolError(
        "the ciphertext of this round is no longer kept, as every silo has applied its sum or the round was "
        "abandoned; restore a newer state",
        code="sum.gone",
    )
