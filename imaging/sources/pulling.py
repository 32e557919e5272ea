"""Fetches what a query means from an archive into a local folder, and goes on where it was stopped.

What is wanted is kept in `pull.sqlite` in the folder; what is there is seen by the files themselves. Each series
is asked for whole, and held against the archive's own list of its instances; what is missing is asked for one
by one. What is missing then is an error that says how much, with the UIDs in `missing.csv` (mode 0600) for
whoever runs the archive. One pull of a folder at a time: the caller holds a lock.
"""

import csv
import hashlib
import io
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imaging.errors import ImagingError
from imaging.sources.archive import Archive, FetchFailed, Received, RemoteSeries
from imaging.sources.errors import StorageRefused
from imaging.sources.query import Query, SeriesFacts
from imaging.sources.staging import Staging

STATE = "pull.sqlite"
MISSING = "missing.csv"
_TABLES = (
    "CREATE TABLE series (series TEXT PRIMARY KEY, study TEXT NOT NULL, told INTEGER, done INTEGER NOT NULL)",
    "CREATE TABLE about (query TEXT NOT NULL)",
)
_UNSAID = SeriesFacts(None, None, None, None, None, None)


@dataclass(frozen=True)
class PullSummary:
    """What a pull brought; counts are the hospital's own.

    Attributes:
        studies, series: that the query means.
        images: in the folder now.
        fetched: of them, by this run.
        left_out: images of these series whose SOP class the query does not allow.
    """

    studies: int
    series: int
    images: int
    fetched: int
    left_out: int


@dataclass(frozen=True)
class Missing:
    """An image that did not come, by numbers for an error and by UIDs for `missing.csv`.

    Attributes:
        series_number: of the series among all of the pull, from 1.
        instance_number: among those of the series in the order of their UIDs; None and "" where only a count tells.
    """

    series_number: int
    study: str = field(repr=False)
    series: str = field(repr=False)
    instance_number: int | None = None
    instance: str = field(default="", repr=False)


@dataclass
class Pull:
    """One run of a pull.

    Attributes:
        archive: where from.
        query: what.
        folder: where to; holds patients' images and must be private.
        on_progress: called with (series done, series in all, images fetched) after each image.
    """

    archive: Archive
    query: Query
    folder: Path
    on_progress: Callable[[int, int, int], None] | None = None
    _fetched: int = field(default=0, init=False)
    _left_out: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _all: int = field(default=0, init=False)
    _missing: list[Missing] = field(default_factory=list, init=False)

    def run(self) -> PullSummary:
        """Fetch what is not there yet.

        Raises:
            ArchiveUnreachable: a later run goes on. ImagingError: `query.too_many_studies`, `query.too_many_instances`,
                `pull.other_query`, `pull.incomplete`, `pull.empty`, `pull.too_large`, `pull.storage`, `archive.*`.
        """
        with _storage_errors():
            staging = Staging(self.folder, self.query.limits.instance_megabytes * 2**20)
            (self.folder / MISSING).unlink(missing_ok=True)
            with closing(_open(self.folder / STATE, self.query)) as state:
                self._find(state)
                wanted = state.execute("SELECT series, study, told, done FROM series ORDER BY study, series").fetchall()
                self._all = len(wanted)
                for ordinal, (series, study, told, done) in enumerate(wanted, start=1):
                    if not done and self._complete(RemoteSeries(study, series, _UNSAID, told), staging, ordinal):
                        staging.settle(series)
                        with state:
                            state.execute("UPDATE series SET done = 1 WHERE series = ?", (series,))
                    self._done += 1
            images = sum(staging.count(series) for series, *_ in wanted)
            if self._missing:
                self._write_missing()
        if self._missing:
            raise ImagingError(self._what_is_missing(images), "pull.incomplete")
        studies = len({study for _, study, *_ in wanted})
        return PullSummary(studies, len(wanted), images, self._fetched, self._left_out)

    def _find(self, state: sqlite3.Connection) -> None:
        """Enter what the query means; a series that has grown since it was fetched is wanted again."""
        studies: set[str] = set()
        instances = 0
        with state:
            for found in self.archive.find(self.query):
                studies.add(found.study)
                instances += found.instances or 0
                self._check_limits(len(studies), instances)
                state.execute(
                    "INSERT INTO series VALUES (?, ?, ?, 0) ON CONFLICT (series) DO UPDATE "
                    "SET done = done AND told IS excluded.told, told = excluded.told",
                    (found.series, found.study, found.instances),
                )
        if not studies:
            raise ImagingError("the archive has nothing that the query means; widen it", "pull.empty")

    def _check_limits(self, studies: int, instances: int) -> None:
        limits = self.query.limits
        for what, found, allowed in (
            ("studies", studies, limits.studies),
            ("instances", instances, limits.instances),
        ):
            if found > allowed:
                raise ImagingError(
                    f"the query means more {what} than the {allowed} that it allows; narrow it or raise limits.{what}",
                    f"query.too_many_{what}",
                )

    def _complete(self, series: RemoteSeries, staging: Staging, ordinal: int) -> bool:
        """Fetch one series; whether all of it is there now."""
        listed = self.archive.instances(series)
        if not listed:
            return self._fetch_uncounted(series, staging, ordinal)
        wanted = {uid: kind for uid, kind in listed.items() if not kind or kind in self.query.class_uids}
        self._left_out += len(listed) - len(wanted)
        missing = [uid for uid in wanted if not staging.has(series.series, uid)]
        keeper = _SeriesKeeper(self, staging, series.series, wanted)
        if 2 * len(missing) > len(wanted):
            with _patience():
                self.archive.fetch(series, None, self._classes(wanted), keeper.take)
        missing = [uid for uid in wanted if not keeper.has(uid)]
        for uid in missing:
            with _patience():
                self.archive.fetch(series, uid, self._classes({uid: wanted[uid]}), keeper.take)
        positions = {uid: position for position, uid in enumerate(sorted(wanted), start=1)}
        for uid in missing:
            if not keeper.has(uid):
                self._missing.append(Missing(ordinal, series.study, series.series, positions[uid], uid))
        if series.instances is not None and series.instances > len(listed):
            lacking = series.instances - len(listed)
            self._missing += [Missing(ordinal, series.study, series.series)] * lacking
        return not any(missed.series_number == ordinal for missed in self._missing)

    def _fetch_uncounted(self, series: RemoteSeries, staging: Staging, ordinal: int) -> bool:
        """Fetch a series whose instances the archive does not list; the counts that it gives are all there is."""
        keeper = _SeriesKeeper(self, staging, series.series, None)
        tried = None
        with _patience():
            tried = self.archive.fetch(series, None, sorted(self.query.class_uids), keeper.take)
        expected = max(series.instances or 0, tried or 0)
        lacking = expected - len(keeper.seen) if expected else int(not keeper.seen)
        self._missing += [Missing(ordinal, series.study, series.series)] * max(0, lacking)
        return lacking <= 0

    def _classes(self, wanted: Mapping[str, str]) -> list[str]:
        named = {kind for kind in wanted.values() if kind}
        return sorted(named if all(wanted.values()) else self.query.class_uids)

    def _what_is_missing(self, images: int) -> str:
        by_series: dict[int, list[str]] = {}
        for missed in self._missing:
            by_series.setdefault(missed.series_number, []).append(str(missed.instance_number or "unknown"))
        named = "; ".join(
            f"series {number}: {', '.join(which[:5])}{', ...' if len(which) > 5 else ''}"
            for number, which in list(by_series.items())[:5]
        )
        return (
            f"the archive did not give {len(self._missing)} of {images + len(self._missing)} images, of "
            f"{len(by_series)} of {self._all} series ({named}{'; ...' if len(by_series) > 5 else ''}); "
            f"{MISSING} in the folder names them: ask its operator, then pull again"
        )

    def _write_missing(self) -> None:
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(("series_number", "study", "series", "instance_number", "instance"))
        for one in self._missing:
            writer.writerow((one.series_number, one.study, one.series, one.instance_number or "", one.instance))
        descriptor = os.open(self.folder / MISSING, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii", newline="") as file:
            file.write(table.getvalue())


@dataclass
class _SeriesKeeper:
    """Keeps the images of one series that are wanted, and no other."""

    pull: Pull
    staging: Staging
    series: str
    wanted: Mapping[str, str] | None
    seen: set[str] = field(default_factory=set)

    def take(self, received: Received) -> None:
        """Keep an image, once; what was not asked for is dropped."""
        if self.wanted is not None and received.instance not in self.wanted:
            return
        if received.instance in self.seen:
            return
        self.seen.add(received.instance)
        if received.sop_class not in self.pull.query.class_uids:
            self.pull._left_out += 1
            return
        if not self.staging.has(self.series, received.instance):
            self.staging.put(self.series, received)
            self.pull._fetched += 1
        if self.pull.on_progress is not None:
            self.pull.on_progress(self.pull._done, self.pull._all, self.pull._fetched)

    def has(self, instance: str) -> bool:
        """Whether an image came now or was there before."""
        return instance in self.seen or self.staging.has(self.series, instance)


@contextmanager
def _patience() -> Iterator[None]:
    """What did not come is seen by what is missing, so a failed fetch ends nothing by itself."""
    try:
        yield
    except FetchFailed:
        return


def _open(path: Path, query: Query) -> sqlite3.Connection:
    digest = hashlib.sha256(query.model_dump_json(exclude={"limits"}).encode()).hexdigest()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    state = sqlite3.connect(path)
    try:
        with state:
            state.execute("BEGIN IMMEDIATE")
            if not state.execute("SELECT name FROM sqlite_master WHERE name = 'about'").fetchone():
                for table in _TABLES:
                    state.execute(table)
                state.execute("INSERT INTO about VALUES (?)", (digest,))
        if state.execute("SELECT query FROM about").fetchone() != (digest,):
            raise ImagingError(
                "the folder holds the images of another query; name another folder for this one", "pull.other_query"
            )
    except BaseException:
        state.close()
        raise
    return state


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, sqlite3.Error):
        raise StorageRefused(
            "the folder cannot be read or written; check its disk and permissions, then pull again: it goes on",
            "pull.storage",
        ) from None
