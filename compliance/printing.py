"""The page as PDF/A-3 with the record inside it (ISO 19005-3), by WeasyPrint, which is an extra.

The same page and record give the same bytes, as long as fonts and WeasyPrint are the same.
"""

import hashlib
import io
import logging
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from typing import Any, NoReturn

from privacy.errors import ConfigError

VARIANT = "pdf/a-3u"


def installed() -> bool:
    """Whether a print can be made here."""
    return find_spec("weasyprint") is not None


def require() -> None:
    """Refuse early where no print can be made.

    Raises:
        ConfigError: WeasyPrint is not installed.
    """
    if not installed():
        raise ConfigError("WeasyPrint is not installed; install Collegium with the extra 'report', or leave --pdf out")


def pdf(page: str, attached: Mapping[str, bytes], at: datetime) -> bytes:
    """The print of a page.

    Args:
        page: HTML that refers to nothing outside of itself.
        attached: files to embed, by name; the first is what the page was made from.
        at: when the record was made, which stands for all dates in the file.

    Raises:
        ConfigError: WeasyPrint is not installed.
    """
    require()
    from weasyprint import HTML, LOGGER, Attachment

    # It warns of each rule that only browsers know; what it cannot do it raises.
    LOGGER.setLevel(logging.ERROR)

    files = [
        Attachment(
            file_obj=io.BytesIO(data),
            name=name,
            description=name,
            created=at,
            modified=at,
            relationship="Supplement" if number else "Source",
        )
        for number, (name, data) in enumerate(attached.items())
    ]
    seal = hashlib.sha256(page.encode() + b"".join(attached.values())).digest()[:16]
    written = HTML(string=page, url_fetcher=_refuse).write_pdf(
        pdf_variant=VARIANT, pdf_tags=True, pdf_identifier=seal, attachments=files
    )
    return bytes(written)


def _refuse(url: str, *_: Any, **__: Any) -> NoReturn:
    raise ValueError("a report loads nothing")
