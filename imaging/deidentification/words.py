"""The words of one patient's own header: names, identifiers and dates that must be found nowhere else.

The header says who the patient is, so that its values can be looked for exactly: in texts (names in any
order, identifiers with other separators) and in what was read from pixels (with a reader's mistakes).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime

from pydicom import Dataset
from pydicom.multival import MultiValue

_IDENTIFIERS = frozenset(
    {
        0x0008_0050,  # AccessionNumber
        0x0010_0020,  # PatientID
        0x0010_1000,  # OtherPatientIDs
        0x0010_1090,  # MedicalRecordLocator
        0x0010_2154,  # PatientTelephoneNumbers
        0x0020_0010,  # StudyID
        0x0038_0010,  # AdmissionID
        0x0040_1001,  # RequestedProcedureID
        0x0040_2016,  # PlacerOrderNumberImagingServiceRequest
        0x0040_2017,  # FillerOrderNumberImagingServiceRequest
    }
)
_PHRASES = frozenset({0x0008_0080, 0x0008_0081, 0x0010_1040})
"""Institution's name and address, patient's address: their words alone are common ones."""

_MIN_NAME, _MIN_ID, _INSIDE = 2, 3, 5
"""Shorter values are no evidence; from `_INSIDE` characters on they are found inside longer words, too."""

_MIN_READ = 3
"""Shorter words that were read from pixels are no evidence."""

_GENERIC_LIST = "anonymised anonymized anonymous dr jr md mr mrs ms none phd prof sr test unknown"
_GENERIC = frozenset(_GENERIC_LIST.split())

_CONFUSED = str.maketrans("OQDILSBZG", "000115826")
"""Letters that readers take for digits, and the reverse."""

_DATE_FORMS = ("%Y%m%d", "%m%d%Y", "%d%m%Y", "%d%b%Y", "%b%d%Y", "%d%B%Y", "%B%d%Y")


class PatientWords:
    """The values of one header that name its patient and who cared for them.

    Args:
        dataset: identifying; read, with its items, and not kept.
        institution: whether names and addresses of the institution count.
    """

    def __init__(self, dataset: Dataset, *, institution: bool = True) -> None:
        names: set[str] = set()
        inside: set[str] = set()
        dates: set[str] = set()
        for tag, vr, value in _texts(dataset):
            if vr == "DA":
                dates.add(value)
            elif vr == "PN":
                names.update(word for word in re.split(r"[\^=\s,._-]+", value) if _names(word))
                whole = re.sub(r"[\^=\s]+", " ", value).strip()
                names.update(word for word in [whole] if " " in word)
            elif (tag in _IDENTIFIERS and len(value) >= _MIN_ID) or (
                tag in _PHRASES and institution and len(value) >= _INSIDE
            ):
                inside.add(value)
        names |= {_plain(name) for name in names}
        self._names = frozenset(_as_read(name) for name in names if len(name) >= _MIN_READ)
        self._marks = frozenset(_as_read(mark) for mark in inside | _written(dates) if len(_as_read(mark)) >= _INSIDE)
        patterns = [_whole(name) for name in names] + [_anywhere(value) for value in inside]
        self._pattern = (
            re.compile("|".join(sorted(patterns, key=len, reverse=True)), re.IGNORECASE) if patterns else None
        )

    def without(self, text: str) -> str:
        """The text without these values."""
        return self._pattern.sub(" ", text) if self._pattern else text

    def within(self, text: str) -> bool:
        """Whether one of them is there."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def nearly_within(self, text: str) -> bool:
        """Whether one of them, or a date of the header, is in a text that was read from pixels.

        Signs that readers confuse count as equal, and one wrong sign in a name of five or more is forgiven.
        """
        joined = _as_read(text)
        if any(mark in joined for mark in self._marks):
            return True
        read = [word for word in map(_as_read, re.split(r"[\W_]+", text)) if len(word) >= _MIN_READ]
        return any(_close(word, name) for word in read for name in self._names)


def _texts(dataset: Dataset, depth: int = 0) -> Iterator[tuple[int, str, str]]:
    for element in dataset:
        if element.VR == "SQ" and depth < 8:
            for item in element.value:
                yield from _texts(item, depth + 1)
        elif element.VR in ("DA", "PN") or element.tag in _IDENTIFIERS | _PHRASES:
            for value in element.value if isinstance(element.value, MultiValue | list) else [element.value]:
                text = str(value or "").strip(" \0")
                if text:
                    yield element.tag, element.VR, text


def _names(word: str) -> bool:
    return len(word) >= _MIN_NAME and word.lower() not in _GENERIC and not word.isdigit()


def _plain(word: str) -> str:
    """Without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


def _whole(word: str) -> str:
    """A word between what is no letter or digit, so that "DOE_JANE" is found in "DOE_JANE_CHEST"; CJK anywhere."""
    pattern = r"[\W_]+".join(re.escape(part) for part in word.split())
    if not word.isascii() and not any("LATIN" in unicodedata.name(letter, "") for letter in word):
        return pattern
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def _anywhere(value: str) -> str:
    """An identifier with other or no separators."""
    signs = [re.escape(sign) for sign in value if sign.isalnum()]
    pattern = r"[\W_]*".join(signs)
    return pattern if len(signs) >= _INSIDE else rf"(?<![^\W_]){pattern}(?![^\W_])"


def _as_read(text: str) -> str:
    """Without separators and accents, and with confused signs made equal."""
    signs = "".join(sign for sign in _plain(text) if sign.isalnum())
    return signs.upper().translate(_CONFUSED)


def _written(dates: Iterable[str]) -> set[str]:
    """How dates may be written in an image, without separators."""
    written = set()
    for date in dates:
        try:
            day = datetime.strptime(date, "%Y%m%d")
        except ValueError:
            continue
        written |= {day.strftime(form) for form in _DATE_FORMS}
    return written


def _close(read: str, name: str) -> bool:
    """Equal, or of five or more signs with one replaced, lost or added."""
    if read == name or (len(name) > _INSIDE and name in read):
        return True
    if min(len(read), len(name)) < _INSIDE or abs(len(read) - len(name)) > 1:
        return False
    start = next((at for at, (one, other) in enumerate(zip(read, name, strict=False)) if one != other), None)
    if start is None:
        return True
    return read[start + (len(read) >= len(name)) :] == name[start + (len(name) >= len(read)) :]
