"""Parts of a `multipart/related` answer as they stream in (RFC 2046 5.1, PS3.18 8.6.1.2.1), one in memory at a time.

A part above the limit and an answer without its closing boundary are errors: the second is how a connection
that was cut looks like a complete answer.
"""

from collections.abc import Iterable, Iterator
from email.message import Message

MAX_HEAD_BYTES = 64 * 2**10
_TOO_LARGE = "a part of the answer has more than {} bytes"


class MultipartError(Exception):
    """The answer is not multipart, or is cut; the message says which."""


class PartTooLarge(Exception):
    """A part has more bytes than are allowed."""


def boundary(content_type: str) -> bytes:
    """The boundary in a Content-Type. Raises MultipartError."""
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_param("boundary")
    if message.get_content_type() != "multipart/related" or not isinstance(found, str) or not 1 <= len(found) <= 70:
        raise MultipartError("the answer is not multipart/related")
    return found.encode("ascii", "replace")


def parts(chunks: Iterable[bytes], marker: bytes, limit: int) -> Iterator[bytes]:
    """The bodies of all parts.

    Args:
        chunks: the answer's body, cut anywhere.
        marker: the boundary, without the leading dashes.
        limit: bytes of a part; more is an error.

    Raises:
        MultipartError: the answer is cut. PartTooLarge.
    """
    delimiter = b"\r\n--" + marker
    buffer = bytearray(b"\r\n")  # the first boundary may come without a line break before it
    begun, searched = False, 0
    for chunk in chunks:
        buffer += chunk
        while (at := buffer.find(delimiter, searched)) >= 0:
            if len(buffer) < at + len(delimiter) + 2:
                break  # whether it is the last one is not known yet
            if begun:
                yield _body(buffer[:at], limit)
            begun = True
            if buffer.startswith(b"--", at + len(delimiter)):
                return
            del buffer[: at + len(delimiter)]
            searched = 0
        searched = max(0, len(buffer) - len(delimiter) - 2)
        if len(buffer) > limit + MAX_HEAD_BYTES + len(delimiter):
            raise PartTooLarge(_TOO_LARGE.format(limit))
    raise MultipartError("the answer ends before its last part")


def _body(part: bytearray, limit: int) -> bytes:
    """What follows a part's own header lines."""
    _, separator, body = part.partition(b"\r\n\r\n")
    if not separator:
        raise MultipartError("a part has no header")
    if len(body) > limit:
        raise PartTooLarge(_TOO_LARGE.format(limit))
    return bytes(body)
