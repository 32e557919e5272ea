"""A client of archives that speak DICOMweb (PS3.18): QIDO-RS by pages, WADO-RS as a stream.

Images are always asked for in the syntax that they are stored in (`transfer-syntax=*`): by the default, servers
leave out what they cannot transcode and answer 200. No redirect is followed, no proxy and no `.netrc` is taken
from the environment, an answer is bounded. Whether all came is checked by whoever pulls.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.filereader import read_partial

from imaging import foreign
from imaging.errors import ImagingError
from imaging.sources.archive import DicomWeb, FetchFailed, Received, RemoteSeries
from imaging.sources.credentials import private, public, token
from imaging.sources.errors import ArchiveUnreachable
from imaging.sources.multipart import MultipartError, PartTooLarge, boundary, parts
from imaging.sources.query import Query, SeriesFacts
from imaging.sources.unanswered import why

ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PAGE = 500
"""Results asked for at a time; a server may give fewer."""
CHUNK = 2**20
META_BYTES = 64 * 2**10
"""Bytes at the start of a file that hold its meta information."""
_SERIES_FIELDS = ("NumberOfSeriesRelatedInstances", "BodyPartExamined", "SeriesDescription", "Modality")
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for more of an answer."""
logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())  # it would print what servers say
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class DicomWebArchive:
    """An archive behind DICOMweb.

    Args:
        endpoint: the archive.
        base: folder that the endpoint's file names are relative to.
        instance_bytes: a larger image is refused.

    Raises:
        ImagingError: `archive.secret`, `archive.certificate`.
    """

    def __init__(self, endpoint: DicomWeb, base: Path, instance_bytes: int) -> None:
        self._limit, self._url = instance_bytes, endpoint.url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.max_redirects = 0
        self._session.verify = str(public(base, endpoint.ca)) if endpoint.ca else True
        if endpoint.certificate and endpoint.key:
            self._session.cert = (str(public(base, endpoint.certificate)), str(private(base, endpoint.key)))
        if endpoint.authorization_file:
            self._session.headers["Authorization"] = token(base, endpoint.authorization_file)
        self._client = DICOMwebClient(self._url, session=self._session, timeout=TIMEOUT)
        self._client.set_http_retry_params(retry=False)

    def echo(self) -> None:
        """Search for one study. See `Archive.echo`."""
        try:
            with _search_errors():
                self._client.search_for_studies(limit=1)
        except ArchiveUnreachable as error:
            named = urlsplit(self._url)
            port = named.port or (443 if named.scheme == "https" else 80)
            raise why(named.hostname or "", port, None) or error from None

    def find(self, query: Query) -> Iterator[RemoteSeries]:
        """See `Archive.find`."""
        for study in self._studies(query):
            day, patient, uid = (_value(study, tag) for tag in ("00080020", "00100020", "0020000D"))
            for series in self._pages(self._client.search_for_series, "0020000E", _uid(uid), fields=_SERIES_FIELDS):
                facts = SeriesFacts(
                    modality=_value(series, "00080060"),
                    body_part=_value(series, "00180015"),
                    study_date=day,
                    description=_value(series, "0008103E"),
                    patient=patient,
                    study=uid,
                )
                if query.may_mean(facts):
                    count = _value(series, "00201209")
                    number = int(count) if count and count.isdigit() else None
                    yield RemoteSeries(_uid(uid), _uid(_value(series, "0020000E")), facts, number)

    def instances(self, series: RemoteSeries) -> Mapping[str, str]:
        """See `Archive.instances`."""
        found = self._pages(self._client.search_for_instances, "00080018", series.study, series.series)
        return {_uid(_value(each, "00080018")): _value(each, "00080016") or "" for each in found}

    def fetch(
        self,
        series: RemoteSeries,
        instance: str | None,
        classes: Sequence[str],
        take: Callable[[Received], None],
    ) -> None:
        """See `Archive.fetch`; `classes` says nothing to DICOMweb."""
        address = f"{self._url}/studies/{series.study}/series/{series.series}"
        for part in self._parts(address if instance is None else f"{address}/instances/{_uid(instance)}"):
            take(_received(part))

    def _studies(self, query: Query) -> Iterator[Mapping[str, Any]]:
        """Each study once, but for those that say that they have none of the modalities.

        Modalities are not asked for: servers that compute ModalitiesInStudy lose results when a search by it is
        read page by page (seen with Orthanc 1.10.1, which then answers with an empty page).
        """
        if query.studies:
            keys = [{"StudyInstanceUID": study} for study in query.studies]
        else:
            keys = [{"PatientID": patient} for patient in query.patients] or [{}]
        dates = {"StudyDate": query.study_dates.as_range} if query.study_dates.as_range else {}
        seen: set[str | None] = set()
        about = {"fields": ("ModalitiesInStudy",)}
        for key in keys:
            for study in self._pages(self._client.search_for_studies, "0020000D", search_filters=key | dates, **about):
                modalities = _values(study, "00080061")
                if _value(study, "0020000D") not in seen and (not modalities or {*modalities} & {*query.modalities}):
                    seen.add(_value(study, "0020000D"))
                    yield study

    def _pages(self, search: Callable[..., Any], key: str, *place: str, **about: Any) -> Iterator[Mapping[str, Any]]:
        """All results of a search; a server that pays no attention to the offset ends it by repeating itself."""
        seen: set[str | None] = set()
        while True:
            with _search_errors():
                page = search(*place, limit=PAGE, offset=len(seen), **about)
                fresh = [result for result in page if _value(result, key) not in seen]
            seen.update(_value(result, key) for result in fresh)
            yield from fresh
            if not fresh:
                return

    def _parts(self, address: str) -> Iterator[bytes]:
        with (
            _fetch_errors(),
            self._session.get(address, headers={"Accept": ACCEPT}, stream=True, timeout=TIMEOUT) as response,
        ):
            response.raise_for_status()
            marker = boundary(response.headers.get("Content-Type", ""))
            yield from parts(response.iter_content(CHUNK), marker, self._limit)


@contextmanager
def _named_errors() -> Iterator[None]:
    """Name what goes wrong; the messages of requests and of the server hold addresses with UIDs."""
    try:
        yield
    except requests.exceptions.SSLError:
        raise ImagingError(
            "the archive's certificate or ours was refused, or it speaks no TLS; check ca, certificate, key and port",
            "archive.tls",
        ) from None
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise ImagingError("the archive denies us access; check its permissions", "archive.denied") from None
        raise FetchFailed(f"the archive answered with status {status}; ask its operator", "archive.refused") from None
    except requests.exceptions.TooManyRedirects:
        raise ImagingError(
            "the archive redirects to another address; name that one in url if it is right", "archive.redirect"
        ) from None
    except requests.ConnectionError:
        raise ArchiveUnreachable("the archive does not answer") from None
    except requests.RequestException:
        raise FetchFailed("the archive's answer broke off or is not HTTP; try again later", "archive.broken") from None


@contextmanager
def _search_errors() -> Iterator[None]:
    try:
        with _named_errors():
            yield
    except (requests.exceptions.JSONDecodeError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ImagingError("the archive's answer is not DICOM JSON; check url", "archive.answer") from None


@contextmanager
def _fetch_errors() -> Iterator[None]:
    try:
        with _named_errors():
            yield
    except PartTooLarge as error:
        raise ImagingError(f"{error}; raise limits.instance_megabytes if it is wanted", "pull.too_large") from None
    except MultipartError as error:
        raise FetchFailed(f"{error}; the archive is asked for single images then", "archive.broken") from None


def _received(data: bytes) -> Received:
    try:
        with foreign.silenced():
            meta = read_partial(BytesIO(data[:META_BYTES]), stop_when=lambda *_: True).file_meta
            return Received(str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), data)
    except foreign.ERRORS:
        raise FetchFailed(
            "the archive sent something that is no DICOM file; ask its operator", "archive.answer"
        ) from None


def _values(result: Mapping[str, Any], tag: str) -> tuple[str, ...]:
    """The values of an attribute in DICOM JSON (PS3.18 Annex F) as text."""
    with _search_errors():
        return tuple(str(value).strip() for value in result.get(tag, {}).get("Value", []) if value is not None)


def _value(result: Mapping[str, Any], tag: str) -> str | None:
    """The first of them; None = not said."""
    return next(iter(_values(result, tag)), None)


def _uid(value: str | None) -> str:
    if value is None or len(value) > 64 or not _UID.fullmatch(value):
        raise ImagingError("the archive named something by no valid UID; ask its operator", "archive.answer")
    return value
