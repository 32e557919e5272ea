"""Certificates, keys and tokens that an endpoint file names: found beside it, and secret ones kept from others."""

from pathlib import Path

from imaging.errors import ImagingError

MAX_TOKEN_BYTES = 16 * 2**10


def public(base: Path, name: str) -> Path:
    """A file that anybody may read, such as a certificate. Raises ImagingError (`archive.certificate`)."""
    path = base / name
    if not path.is_file():
        raise ImagingError(
            "a file that the archive's file names is missing: ca, certificate or key", "archive.certificate"
        )
    return path


def private(base: Path, name: str) -> Path:
    """A file that nobody else may read. Raises ImagingError (`archive.certificate`, `archive.secret`)."""
    path = public(base, name)
    if path.stat().st_mode & 0o077:
        raise ImagingError("others can read the key or token of the archive; set its mode to 0600", "archive.secret")
    return path


def token(base: Path, name: str) -> str:
    """The value of an Authorization header. Raises ImagingError (`archive.certificate`, `archive.secret`)."""
    try:
        with private(base, name).open(encoding="ascii") as file:
            text = file.read(MAX_TOKEN_BYTES + 1).strip()
    except (OSError, UnicodeDecodeError):
        raise ImagingError("the authorization file cannot be read as ASCII text", "archive.secret") from None
    if not text or not text.isprintable() or len(text) > MAX_TOKEN_BYTES:
        raise ImagingError("the authorization file does not hold one line of text", "archive.secret")
    return text
