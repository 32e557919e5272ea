"""A client of archives that speak DIMSE (PS3.4): C-ECHO, C-FIND, C-GET, and C-MOVE into a receiver of our own.

C-GET needs no port here and is preferred. One presentation context is offered for each SOP class and transfer
syntax, as far as 128 contexts go, so that an archive can send each image as it is stored. The receiver of a
C-MOVE listens only while one is going on, and takes nothing from anybody but the archive. Images are kept
byte for byte; whether all came is checked by whoever pulls.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
    UncompressedTransferSyntaxes,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from imaging import foreign
from imaging.errors import ImagingError
from imaging.sources.archive import Dimse, FetchFailed, Received, RemoteSeries, Tls
from imaging.sources.credentials import private, public
from imaging.sources.errors import ArchiveUnreachable
from imaging.sources.query import Query, SeriesFacts
from imaging.sources.unanswered import why

SYNTAXES: tuple[str, ...] = (
    *(syntax for syntax in UncompressedTransferSyntaxes if not syntax.is_deflated),
    RLELossless,
    *JPEGTransferSyntaxes,
    *JPEGLSTransferSyntaxes,
    *JPEG2000TransferSyntaxes,
)
MAX_CONTEXTS = 126
"""Of 128 (PS3.8 9.3.2.2), two are kept for the service itself."""
SECONDS = 60.0
"""Without an answer for so long, an association counts as broken."""
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
        self._client = _context(endpoint.tls, base, ssl.PROTOCOL_TLS_CLIENT)
        self._receiver = _context(endpoint.tls, base, ssl.PROTOCOL_TLS_SERVER)

    def echo(self) -> None:
        """C-ECHO. See `Archive.echo`."""
        with self._associated([(Verification, SYNTAXES[:3])]) as association:
            _checked(association.send_c_echo())

    def find(self, query: Query) -> Iterator[RemoteSeries]:
        """See `Archive.find`. The whole answer about studies is read first: archives end idle associations."""
        with self._finding() as association:
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
        with self._finding() as association:
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
        place = Dataset()
        place.QueryRetrieveLevel = "SERIES" if instance is None else "IMAGE"
        place.StudyInstanceUID, place.SeriesInstanceUID = series.study, series.series
        if instance is not None:
            place.SOPInstanceUID = instance
        keeper = _Keeper(take)
        storage = _contexts(classes)
        with self._receiving(storage, keeper) as association:
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

    @contextmanager
    def _receiving(self, storage: Sequence[tuple[str, Sequence[str]]], keeper: "_Keeper") -> Iterator[Any]:
        """An association on which to retrieve; images come to `keeper` on it (C-GET) or beside it (C-MOVE)."""
        handlers = [(evt.EVT_C_STORE, keeper.store)]
        if self._endpoint.retrieve == "get":
            model = (StudyRootQueryRetrieveInformationModelGet, SYNTAXES[:3])
            with self._associated([model, *storage], handlers, roles=True) as association:
                yield association
            return
        receiver = AE(ae_title=self._endpoint.calling_ae)
        receiver.require_called_aet, receiver.require_calling_aet = True, [self._endpoint.called_ae]
        receiver.acse_timeout = receiver.dimse_timeout = receiver.network_timeout = SECONDS
        for sop_class, syntaxes in storage:
            receiver.add_supported_context(sop_class, list(syntaxes))
        receiver.add_supported_context(Verification)
        at = (self._endpoint.move_host, self._endpoint.move_port)
        try:
            receiver.start_server(at, block=False, evt_handlers=handlers, ssl_context=self._receiver)
        except OSError as error:
            raise ImagingError(
                f"cannot listen on move_host and move_port ({error.strerror}); choose others", "archive.port"
            ) from None
        try:
            with self._associated([(StudyRootQueryRetrieveInformationModelMove, SYNTAXES[:3])]) as association:
                yield association
        finally:
            receiver.shutdown()

    @contextmanager
    def _finding(self) -> Iterator[Any]:
        with self._associated([(StudyRootQueryRetrieveInformationModelFind, SYNTAXES[:3])]) as association:
            yield association

    @contextmanager
    def _associated(
        self,
        contexts: Sequence[tuple[str, Sequence[str]]],
        handlers: Sequence[tuple[Any, Any]] = (),
        *,
        roles: bool = False,
    ) -> Iterator[Any]:
        """An association with the archive. Raises ArchiveUnreachable, and ImagingError where it is rejected."""
        endpoint = self._endpoint
        entity = AE(ae_title=endpoint.calling_ae)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
        entity.connection_timeout = 10.0
        for sop_class, syntaxes in contexts:
            entity.add_requested_context(sop_class, list(syntaxes))
        try:
            association = entity.associate(
                endpoint.host,
                endpoint.port,
                ae_title=endpoint.called_ae,
                ext_neg=[build_role(sop_class, scp_role=True) for sop_class in _distinct(contexts[1:])]
                if roles
                else [],
                tls_args=(self._client, endpoint.host) if self._client else None,
                evt_handlers=list(handlers),
            )
        except OSError as error:  # a name that is not known, which pynetdicom passes on
            raise self._unanswered() from error
        if association.is_rejected:
            raise ImagingError(
                "the archive rejects us; check called_ae and calling_ae, and that it knows us", "archive.rejected"
            )
        if not association.is_established:
            raise self._unanswered()
        try:
            if contexts[0][0] not in {context.abstract_syntax for context in association.accepted_contexts}:
                raise ImagingError("the archive does not offer this service; try another way", "archive.service")
            yield association
        except BaseException:
            association.abort()
            raise
        if association.is_established:
            association.release()

    def _unanswered(self) -> ArchiveUnreachable:
        way = "in TLS" if self._client else "without TLS"
        return why(self._endpoint.host, self._endpoint.port, self._client) or ArchiveUnreachable(
            f"the archive takes the connection {way}, and no DICOM association comes of it",
            mend="check that the port is its DICOM port, whether it wants TLS and takes our certificate, and its log",
        )


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
    for answered, _ in answers:
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
    keys = Dataset()
    keys.QueryRetrieveLevel = level
    for keyword, value in wanted.items():
        setattr(keys, keyword, value)
    for status, answer in association.send_c_find(keys, StudyRootQueryRetrieveInformationModelFind):
        if "Status" not in status or status.Status not in _PENDING | {_SUCCESS}:
            _checked(status)
        if answer is not None:
            yield answer


def _checked(status: Dataset) -> None:
    if "Status" not in status:
        raise FetchFailed("the archive broke off in the middle; try again later", "archive.broken")
    if status.Status != _SUCCESS:
        raise FetchFailed(f"the archive refused (status {status.Status:04X}); ask its operator", "archive.refused")


def _contexts(classes: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    if len(classes) * len(SYNTAXES) <= MAX_CONTEXTS:
        return [(sop_class, (syntax,)) for sop_class in classes for syntax in SYNTAXES]
    return [(sop_class, SYNTAXES) for sop_class in classes[:MAX_CONTEXTS]]


def _distinct(contexts: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    return list(dict.fromkeys(sop_class for sop_class, _ in contexts))


def _context(tls: Tls | None, base: Path, protocol: int) -> ssl.SSLContext | None:
    """TLS 1.2 or newer; both sides show a certificate, and a server's name is checked."""
    if tls is None:
        return None
    ca, certificate, key = public(base, tls.ca), public(base, tls.certificate), private(base, tls.key)
    try:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise ImagingError(
            "ca, certificate or key of the archive's file is no PEM file, or they do not fit", "archive.certificate"
        ) from None
    return context


def _text(answer: Dataset, keyword: str) -> str | None:
    """A value of an answer, which is only decoded now. Raises FetchFailed where it does not follow the standard."""
    try:
        with foreign.silenced():
            value = answer.get(keyword)
            found = "" if value is None else str(value).strip(" \0")
    except foreign.ERRORS:
        raise FetchFailed("the archive's answer cannot be read; ask its operator", "archive.answer") from None
    return found or None
