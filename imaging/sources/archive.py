"""What an archive is to us: the endpoint file that names one, and the port that both kinds of client have.

Secrets are named by their files, relative to the endpoint file, and never stand in it. An unencrypted
connection must be asked for by name: images with names on them travel over it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from imaging.errors import ImagingError
from imaging.sources.query import Query, SeriesFacts, Strict

Title = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,16}$")]
"""An application entity title."""
Port = Annotated[int, Field(ge=1, le=65_535)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Tls(Strict):
    """PEM files: whom to trust, and who we are; TLS 1.2 or newer, the host name is checked."""

    ca: Name
    certificate: Name
    key: Name


class Dimse(Strict):
    """An archive that speaks DIMSE. `retrieve: move` makes it connect back to `move_host` and `move_port`."""

    host: Name
    port: Port
    called_ae: Title
    calling_ae: Title
    retrieve: Literal["get", "move"] = "get"
    move_host: Name | None = None
    move_port: Port | None = None
    tls: Tls | None = None
    unencrypted: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> "Dimse":
        if (self.retrieve == "move") != (self.move_host is not None and self.move_port is not None):
            raise ValueError("move_host and move_port go with 'retrieve: move'")
        if (self.tls is None) != self.unencrypted:
            raise ValueError("give either tls or 'unencrypted: true'")
        return self


class DicomWeb(Strict):
    """An archive that speaks DICOMweb. `authorization_file` holds the value of the Authorization header (mode 0600)."""

    url: Name
    ca: Name | None = None
    certificate: Name | None = None
    key: Name | None = None
    authorization_file: Name | None = None
    unencrypted: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> "DicomWeb":
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query:
            raise ValueError("url must be https://HOST[:PORT]/PATH without user or query")
        if (parts.scheme == "http") != self.unencrypted:
            raise ValueError("an http url, and no other, needs 'unencrypted: true'")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class ArchiveFile(Strict):
    """The endpoint file: one archive, either `dimse` or `dicomweb`. Paths in it are relative to its folder."""

    format: Literal["collegium-archive/1"]
    dimse: Dimse | None = None
    dicomweb: DicomWeb | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "ArchiveFile":
        if (self.dimse is None) == (self.dicomweb is None):
            raise ValueError("name one of dimse and dicomweb")
        return self


@dataclass(frozen=True)
class RemoteSeries:
    """A series that an archive offers.

    Attributes:
        study, series: UIDs.
        facts: what the archive says of it.
        instances: how many it has; None where the archive does not say (the key is optional).
    """

    study: str = field(repr=False)
    series: str = field(repr=False)
    facts: SeriesFacts = field(repr=False)
    instances: int | None = None


@dataclass(frozen=True)
class Received:
    """An image as it came.

    Attributes:
        sop_class, instance: UIDs.
        data: the bytes of a Part 10 file.
    """

    sop_class: str
    instance: str = field(repr=False)
    data: bytes = field(repr=False)


class FetchFailed(ImagingError):
    """The archive did not give what it was asked for; asking again for single instances may work."""


class Archive(Protocol):
    """A client of an archive. Every method raises `ArchiveUnreachable` where there is no connection."""

    def echo(self) -> None:
        """Check that the archive is there and accepts us. Raises ImagingError (`archive.*`) where it does not."""

    def find(self, query: Query) -> Iterator[RemoteSeries]:
        """All series that a query may mean. Raises ImagingError (`archive.*`)."""

    def instances(self, series: RemoteSeries) -> Mapping[str, str] | None:
        """SOP instance UID -> class UID ("" = not said) of a series; None where the archive cannot say."""

    def fetch(
        self,
        series: RemoteSeries,
        instance: str | None,
        classes: Sequence[str],
        take: Callable[[Received], None],
    ) -> int | None:
        """Have images sent, and hand each to `take` as it comes.

        Args:
            series: whose they are.
            instance: UID of one; None = all of the series.
            classes: SOP classes that are expected.
            take: keeps an image; may be called from another thread. What it raises ends the fetch.

        Returns:
            how many images the archive says it tried to send, where it says so.

        Raises:
            FetchFailed: `archive.*`; what came before was taken.
        """
