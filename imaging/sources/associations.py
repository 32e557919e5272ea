"""Associations with an archive that speaks DIMSE: presentation contexts, TLS, and the receiver of a C-MOVE.

One presentation context is offered for each SOP class and transfer syntax, as far as 128 contexts go, so that an
archive can send each image as it is stored. The receiver of a C-MOVE listens only while one is going on, and takes
nothing from anybody but the archive. What is asked on an association is `dimse`'s business.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

from imaging.errors import ImagingError
from imaging.sources.archive import Dimse, Tls
from imaging.sources.credentials import private, public
from imaging.sources.errors import ArchiveUnreachable
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
ECHO_SECONDS = 10.0
"""The same for a C-ECHO, which an archive answers without looking for anything, and for which a person waits."""


class Associations:
    """Makes associations with one archive.

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

    @contextmanager
    def asking(self) -> Iterator[Any]:
        """An association on which to ask whether the archive is there."""
        with self.associated([(Verification, SYNTAXES[:3])], seconds=ECHO_SECONDS) as association:
            yield association

    @contextmanager
    def finding(self) -> Iterator[Any]:
        """An association on which to search."""
        with self.associated([(StudyRootQueryRetrieveInformationModelFind, SYNTAXES[:3])]) as association:
            yield association

    @contextmanager
    def receiving(self, classes: Sequence[str], store: Callable[[Any], int]) -> Iterator[Any]:
        """An association on which to retrieve; images come to `store` on it (C-GET) or beside it (C-MOVE)."""
        storage = _contexts(classes)
        handlers = [(evt.EVT_C_STORE, store)]
        if self._endpoint.retrieve == "get":
            model = (StudyRootQueryRetrieveInformationModelGet, SYNTAXES[:3])
            with self.associated([model, *storage], handlers, roles=True) as association:
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
            with self.associated([(StudyRootQueryRetrieveInformationModelMove, SYNTAXES[:3])]) as association:
                yield association
        finally:
            receiver.shutdown()

    @contextmanager
    def associated(
        self,
        contexts: Sequence[tuple[str, Sequence[str]]],
        handlers: Sequence[tuple[Any, Any]] = (),
        *,
        roles: bool = False,
        seconds: float = SECONDS,
    ) -> Iterator[Any]:
        """An association with the archive. Raises ArchiveUnreachable, and ImagingError where it is rejected."""
        endpoint, began = self._endpoint, time.monotonic()
        entity = AE(ae_title=endpoint.calling_ae)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = seconds
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
            raise self._unanswered(seconds if time.monotonic() - began >= seconds else 0)
        try:
            if contexts[0][0] not in {context.abstract_syntax for context in association.accepted_contexts}:
                raise ImagingError("the archive does not offer this service; try another way", "archive.service")
            yield association
        except BaseException:
            association.abort()
            raise
        if association.is_established:
            association.release()

    def _unanswered(self, silent: float = 0) -> ArchiveUnreachable:
        """Why there is no association, of which nothing was heard for so many seconds."""
        way = "in TLS" if self._client else "without TLS"
        if found := why(self._endpoint.host, self._endpoint.port, self._client):
            return found
        if silent:
            return ArchiveUnreachable(
                f"the archive takes the connection {way}, and then says nothing for {silent:.0f} s",
                mend="check that the port is its DICOM port and that nothing on the way holds the line; else it hangs: "
                "ask its operator",
            )
        return ArchiveUnreachable(
            f"the archive takes the connection {way}, and no DICOM association comes of it",
            mend="check that the port is its DICOM port, whether it wants TLS and takes our certificate, and its log",
        )


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
