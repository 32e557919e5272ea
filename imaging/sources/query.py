"""What a hospital asks its archive or folder for: the query file, and whether a series is meant by it.

The models are strict and frozen; whoever loads the file refuses unknown and duplicate keys. A query must
name modalities and allow-list SOP classes: what it does not name is never fetched. What an archive leaves
out of an answer is unknown and not a reason to leave a series out; what a file's own header leaves out is.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydicom._uid_dict import UID_dictionary

Code = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9 _]{1,16}$")]
"""A DICOM code string (VR CS, PS3.5 6.2)."""
Identifier = Annotated[str, StringConstraints(pattern=r"^[^\\*?\x00-\x1f\x7f]{1,64}$")]
"""A PatientID (VR LO): a wildcard or a backslash in it would ask for other patients too."""
Uid = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=64)]
Day = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class Strict(BaseModel):
    """Base of the files of this package: frozen, no coercion, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Dates(Strict):
    """Study dates, both days included, as "YYYY-MM-DD"; either may be left out."""

    first: Day | None = None
    last: Day | None = None

    @model_validator(mode="after")
    def _are_days_in_order(self) -> "Dates":
        for day in (self.first, self.last):
            if day is not None:
                date.fromisoformat(day)
        if self.first and self.last and self.first > self.last:
            raise ValueError("first is after last")
        return self

    @property
    def as_range(self) -> str | None:
        """The range as an archive is asked for it, "YYYYMMDD-YYYYMMDD" (PS3.4 C.2.2.2.5.1); None = any day."""
        if self.first is None and self.last is None:
            return None
        return f"{_plain(self.first)}-{_plain(self.last)}"

    def have(self, day: str) -> bool:
        """Whether a StudyDate ("YYYYMMDD") is in the range."""
        if re.fullmatch(r"[0-9]{8}", day) is None:
            return False
        return (_plain(self.first) or day) <= day <= (_plain(self.last) or day)


class Limits(Strict):
    """Where to stop: a query that finds more is refused before anything is fetched, an instance that is larger is."""

    studies: int = Field(default=1000, ge=1, le=1_000_000)
    instances: int = Field(default=1_000_000, ge=1, le=100_000_000)
    instance_megabytes: int = Field(default=1024, ge=1, le=65_536)


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of a series when it is held against a query; None = not said. Not for printing."""

    modality: str | None = field(repr=False)
    body_part: str | None = field(repr=False)
    study_date: str | None = field(repr=False)
    description: str | None = field(repr=False)
    patient: str | None = field(repr=False)
    study: str | None = field(repr=False)


class Query(Strict):
    """Which images are wanted.

    `sop_classes` are keywords of PS3.6 such as `CTImageStorage`. `series_description` is a pattern with `*` and `?`, in
    any case. Empty `body_parts`, `patients` (PatientIDs) and `studies` (Study Instance UIDs) mean any.
    """

    format: Literal["collegium-query/1"]
    modalities: tuple[Code, ...] = Field(min_length=1)
    sop_classes: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[Code, ...] = ()
    study_dates: Dates = Dates()
    series_description: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    patients: tuple[Identifier, ...] = ()
    studies: tuple[Uid, ...] = ()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _names_storage_classes(self) -> "Query":
        for position, keyword in enumerate(self.sop_classes, start=1):
            if keyword not in _storage_classes():
                raise ValueError(f"entry {position} of sop_classes is no keyword of a storage SOP class")
        return self

    @cached_property
    def class_uids(self) -> frozenset[str]:
        """The UIDs of the allowed SOP classes."""
        return frozenset(_storage_classes()[keyword] for keyword in self.sop_classes)

    def may_mean(self, facts: SeriesFacts) -> bool:
        """Whether nothing that is known of a series speaks against it: for the answer of an archive."""
        return all(self._verdicts(facts, unknown=True))

    def means(self, facts: SeriesFacts) -> bool:
        """Whether a series is wanted and says so itself: for the headers of files."""
        return all(self._verdicts(facts, unknown=False))

    def _verdicts(self, facts: SeriesFacts, *, unknown: bool) -> tuple[bool, ...]:
        def one_of(value: str | None, wanted: tuple[str, ...]) -> bool:
            return not wanted or (unknown if not value else value in wanted)

        day, description = facts.study_date, facts.description
        return (
            one_of(facts.modality, self.modalities),
            one_of(facts.body_part, self.body_parts),
            one_of(facts.patient, self.patients),
            one_of(facts.study, self.studies),
            self.study_dates.as_range is None or (self.study_dates.have(day) if day else unknown),
            self.series_description is None
            or (self._pattern.fullmatch(description) is not None if description else unknown),
        )

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = {"*": ".*", "?": "."}
        text = "".join(parts.get(character, re.escape(character)) for character in self.series_description or "*")
        return re.compile(text, re.IGNORECASE | re.DOTALL)


def _storage_classes() -> dict[str, str]:
    return {entry[4]: uid for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class" and "Storage" in entry[4]}


def _plain(day: str | None) -> str:
    return (day or "").replace("-", "")
