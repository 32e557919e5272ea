"""A client of archives that speak DIMSE (PS3.4): C-ECHO, C-FIND, C-GET, and C-MOVE into a receiver of our own.

C-GET needs no port here and is preferred. Connections are `associations`' business. Images are kept byte for byte;
whether all came is checked by whoever pulls.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from imaging import foreign
from imaging.sources.archive import Dimse, FetchFailed, Received, RemoteSeries
from imaging.sources.associations import Associations
from imaging.sources.query import Query, SeriesFacts

_PENDING = frozenset({0xFF00, 0xFF01})
_SUCCESS = 0x0000
_REFUSED_STORE = 0xA700
"""Out of resources (PS3.4 Table B.2-1): what we answer to an image that we do not keep."""


class DimseArchive:
    """An archive behind DIMSE.

    Args:
        endpoint: the archive.
        base: folder that the endpoint's file names are relative to.

    Raises:
        ImagingError: `archive.certificate`, `archive.secret`.
    """

    def __init__(self, endpoint: Dimse, base: Path) -> None:
        self._endpoint = endpoint
        self._associations = Associations(endpoint, base)

    def echo(self) -> None:
        """C-ECHO. See `Archive.echo`."""
        with self._associations.asking() as association:
            _checked(association.send_c_echo())

    def find(self, query: Query) -> Iterator[RemoteSeries]:
        """See `Archive.find`. The whole answer about studies is read first: archives end idle associations."""
        with self._associations.finding() as association:
            studies = {study: answer for key in _keys(query) for study, answer in self._studies(association, key)}
            for study, about in studies.items():
                wanted = {"StudyInstanceUID": study, "SeriesInstanceUID": "", "Modality": "", "BodyPartExamined": ""}
                wanted |= {"SeriesDescription": "", "NumberOfSeriesRelatedInstances": ""}
                for answer in _answers(association, "SERIES", wanted):
                    facts = SeriesFacts(
                        modality=_text(answer, "Modality"),
                        body_part=_text(answer, "BodyPartExamined"),
                        study_date=_text(about, "StudyDate"),
                        description=_text(answer, "SeriesDescription"),
                        patient=_text(about, "PatientID"),
                        study=study,
                    )
                    series, count = _text(answer, "SeriesInstanceUID"), _text(answer, "NumberOfSeriesRelatedInstances")
                    if series and query.may_mean(facts):
                        yield RemoteSeries(study, series, facts, int(count) if count and count.isdigit() else None)

    def instances(self, series: RemoteSeries) -> Mapping[str, str] | None:
        """See `Archive.instances`. Some archives do not answer at IMAGE level: then None."""
        wanted = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series}
        with self._associations.finding() as association:
            try:
                answers = list(_answers(association, "IMAGE", wanted | {"SOPInstanceUID": "", "SOPClassUID": ""}))
            except FetchFailed:
                return None
        found = {_text(answer, "SOPInstanceUID"): _text(answer, "SOPClassUID") or "" for answer in answers}
        return {instance: sop_class for instance, sop_class in found.items() if instance}

    def fetch(
        self,
        series: RemoteSeries,
        instance: str | None,
        classes: Sequence[str],
        take: Callable[[Received], None],
    ) -> int | None:
        """See `Archive.fetch`."""
        wanted = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series}
        place = (
            _request("SERIES", wanted) if instance is None else _request("IMAGE", wanted | {"SOPInstanceUID": instance})
        )
        keeper = _Keeper(take)
        with self._associations.receiving(classes, keeper.store) as association:
            if self._endpoint.retrieve == "get":
                answers = association.send_c_get(place, StudyRootQueryRetrieveInformationModelGet)
            else:
                title, model = self._endpoint.calling_ae, StudyRootQueryRetrieveInformationModelMove
                answers = association.send_c_move(place, title, model)
            return _tried(answers, keeper)

    def _studies(self, association: Any, key: Mapping[str, str]) -> Iterator[tuple[str, Dataset]]:
        wanted = {"StudyInstanceUID": "", "PatientID": "", "StudyDate": "", "ModalitiesInStudy": ""} | dict(key)
        for answer in _answers(association, "STUDY", wanted):
            study = _text(answer, "StudyInstanceUID")
            if study:
                yield study, answer


class _Keeper:
    """Takes images as an association hands them over, possibly in its own thread; keeps the first failure."""

    def __init__(self, take: Callable[[Received], None]) -> None:
        self._take = take
        self.failure: Exception | None = None

    def store(self, event: Any) -> int:
        """Answer a C-STORE request."""
        if self.failure is not None:
            return _REFUSED_STORE
        try:
            request = event.request
            data = event.encoded_dataset()
            self._take(Received(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), data))
        except Exception as error:  # noqa: BLE001 - of another thread: raised where the fetch was begun
            self.failure = error
            return _REFUSED_STORE
        return _SUCCESS


def _tried(answers: Iterator[tuple[Dataset, Any]], keeper: _Keeper) -> int | None:
    """Follow a C-GET or C-MOVE to its end; how many images the archive tried to send."""
    status = Dataset()
    for answered, _ in _quietly(answers):
        status = answered
        if keeper.failure is not None:
            raise keeper.failure
    if keeper.failure is not None:
        raise keeper.failure
    if "Status" not in status:
        raise FetchFailed("the archive broke off while it was sending; pull again: it goes on", "archive.broken")
    counts = [status.get(f"NumberOf{how}Suboperations") for how in ("Completed", "Failed", "Warning")]
    if status.Status != _SUCCESS and not any(counts):
        raise FetchFailed(
            f"the archive refused to send (status {status.Status:04X}); ask its operator", "archive.refused"
        )
    return sum(int(count or 0) for count in counts) if any(count is not None for count in counts) else None


def _keys(query: Query) -> list[dict[str, str]]:
    """What to match studies by: one search a study, patient or modality that the query names."""
    dates = {"StudyDate": query.study_dates.as_range} if query.study_dates.as_range else {}
    if query.studies:
        return [dates | {"StudyInstanceUID": study} for study in query.studies]
    if query.patients:
        return [dates | {"PatientID": patient} for patient in query.patients]
    return [dates | {"ModalitiesInStudy": modality} for modality in query.modalities]


def _answers(association: Any, level: str, wanted: Mapping[str, str]) -> Iterator[Dataset]:
    """The answers to a C-FIND. Raises FetchFailed where the archive does not go through with it."""
    keys = _request(level, wanted)
    for status, answer in _quietly(association.send_c_find(keys, StudyRootQueryRetrieveInformationModelFind)):
        if "Status" not in status or status.Status not in _PENDING | {_SUCCESS}:
            _checked(status)
        if answer is not None:
            yield answer


def _request(level: str, wanted: Mapping[str, str]) -> Dataset:
    """The identifier of a request: what to match by, or to retrieve. A UID may be one that the standard forbids."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    with foreign.silenced():
        for keyword, value in wanted.items():
            setattr(identifier, keyword, value)
    return identifier


def _quietly(answers: Iterator[tuple[Dataset, Any]]) -> Iterator[tuple[Dataset, Any]]:
    """The same answers without warnings, which quote values: each is decoded when it is asked for."""
    while True:
        with foreign.silenced():
            answer = next(answers, None)
        if answer is None:
            return
        yield answer


def _checked(status: Dataset) -> None:
    if "Status" not in status:
        raise FetchFailed("the archive broke off in the middle; try again later", "archive.broken")
    if status.Status != _SUCCESS:
        raise FetchFailed(f"the archive refused (status {status.Status:04X}); ask its operator", "archive.refused")


def _text(answer: Dataset, keyword: str) -> str | None:
    """A value of an answer, which is only decoded now. Raises FetchFailed where it does not follow the standard."""
    try:
        with foreign.silenced():
            value = answer.get(keyword)
            found = "" if value is None else str(value).strip(" \0")
    except foreign.ERRORS:
        raise FetchFailed("the archive's answer cannot be read; ask its operator", "archive.answer") from None
    return found or None
