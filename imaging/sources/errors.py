"""The errors of sources that are more than an `ImagingError`: what a later attempt may cure."""

from imaging.errors import ImagingError


class ArchiveUnreachable(ImagingError):
    """The archive does not answer, or broke off in the middle; trying again later may work."""

    def __init__(
        self,
        what: str,
        code: str = "archive.unreachable",
        mend: str = "check host, port, names and certificates, then try again",
    ) -> None:
        super().__init__(f"{what}; {mend}", code)


class StorageRefused(ImagingError):
    """The disk refused a file; nothing half-written was kept."""
