"""The errors of sources: `ImagingError` and the one kind of it that a later attempt may cure."""

from imaging.errors import ImagingError


class ArchiveUnreachable(ImagingError):
    """The archive does not answer, or broke off in the middle; trying again later may work."""

    def __init__(self, what: str, code: str = "archive.unreachable") -> None:
        super().__init__(f"{what}; check host, port, names and certificates, then try again", code)
