"""Free text without what identifies a patient: the words of this patient's own header, and telling patterns.

The header says who the patient is, so that its values can be looked for exactly (names in any order, IDs
with other separators); beyond them go dates, long numbers, addresses, contacts, labelled and titled names,
and pairs of capitalised words that neither the DICOM dictionary nor its terminology knows. What is left
stays: "MR HEAD for Jane Doe 4/5/2024" becomes "MR HEAD". A name of somebody else in small letters inside a
sentence is not found; the option is not for reports.
"""

import importlib
import re
from functools import cache

from pydicom._dicom_dict import DicomDictionary

from imaging.deidentification.words import PatientWords

MAX_TEXT = 10_240
"""Characters of a long text (LT, PS3.5 6.2). A longer one is a document, and goes whole."""

_SURNAMES_LIST = (
    "brown cooper evans gray green hall hill james king lee lewis miller moore name nelson taylor walker "
    "white wood wright"
)
_SURNAMES = frozenset(_SURNAMES_LIST.split())
"""Terms (mostly eponyms) that are common surnames, too."""

_MORE_TERMS = (
    "axial sagittal coronal weighted contrast localizer scout routine protocol lung brain spine delayed phase early "
    "late breath hold"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_ROLE = r"(?:patient|pt|name|physician|doctor|operator|technologist|tech|radiologist|nurse)"
_STREET = r"(?:street|st|avenue|ave|road|rd|drive|lane|ln|blvd|boulevard|way|court|ct)"
_NAME = r"(?-i:[A-Z][\w'\u2019-]*\.?)"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",  # e-mail
        r"\b(?:https?://|www\.)\S+",
        r"\b\d+(?:\.\d+){3,}\b",  # UIDs and network addresses
        r"(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6}(?:\.\d+)?)?(?!\d)",
        r"(?<![\d.])\d{1,2}([/.-])\d{1,2}\1(?:\d{4}|\d{2})(?![\d.])",
        r"(?<![\d.])(?:19|20)\d\d([/.-])\d{1,2}\1\d{1,2}(?!\d)",
        rf"\b\d{{1,2}}(?:st|nd|rd|th)?[ -]{_MONTH}\.?,?[ -](?:\d{{4}}|\d{{2}})\b",
        rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b",
        rf"\b{_MONTH}\.? (?:19|20)\d\d\b",
        r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]m)?\b",
        r"(?<![\w.])\+?\(?\d{2,4}\)?[ .-]\d{3,4}[ .-]\d{3,4}(?!\w)",  # telephone numbers
        r"\b\d{3}-\d{2}-\d{4}\b",
        rf"\b{_ROLE}\s*(?:name)?\s*[:=]\s*{_NAME}(?:[ ,^]+{_NAME}){{0,3}}",
        r"\b(?:mrn|id|acc(?:ession)?|dob|ssn|phone|tel|fax|room|bed)\s*(?:no\.?|number|#)?\s*[:=#]\s*[\w./()+-]+",
        r"\b(?-i:Dr|Mr|Mrs|Ms|Prof|Miss|Sister|Nurse)\b\.?\s+(?-i:[A-Z][\w'\u2019-]+)(?:[ -](?-i:[A-Z][a-z'\u2019]+))?",
        rf"\b(?-i:DR|MR|MRS|MS|PROF)\.\s+{_NAME}",
        rf"\b{_NAME}(?:[ ,]+{_NAME})?,?\s+(?-i:M\.?D|Ph\.?D|R\.?N|R\.?T)\b\.?",
        rf"\b\d{{1,5}} (?:{_NAME} ){{1,3}}{_STREET}\b\.?",
        r"(?<![\w.])(?:9\d|1[01]\d)[ -]?(?:yo|y/o|years?|yrs?|y)(?:[ -]old)?\b",  # ages above 89
        r"(?<![\w.,-])(?=[A-Za-z]*\d)[A-Za-z]{0,4}[-_]?\d{6,}\b",  # record numbers
    )
)
_NAME_LIKE = re.compile(r"\b[^\W\d_]+(?:\^[^\W\d_]*)+|\b[A-Z][a-z'\u2019]+(?:[ -](?:[A-Z]\. )?[A-Z][a-z'\u2019]+)+\b")
_LEFT_OVER = re.compile(
    r"(?:\b(?:for|by|of|on|at|from|to|with|and|dated|signed|read)\b[\s,;:]*)+(?=$|[.;,)\]])", re.IGNORECASE
)
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}")


def scrubbed(text: str, words: PatientWords) -> str:
    """What of a text identifies nobody: without the patient's words and without telling patterns."""
    if len(text) > MAX_TEXT:
        return ""
    left = words.without(text)
    for pattern in _PATTERNS:
        left = pattern.sub(" ", left)
    left = _NAME_LIKE.sub(lambda match: match[0] if _is_term(match[0]) else " ", left)
    return text if left == text else _tidied(left)


def without_own(text: str, words: PatientWords) -> str:
    """A text without the patient's words alone."""
    left = words.without(text)
    return text if left == text else _tidied(left)


def _tidied(text: str) -> str:
    text = re.sub(r"[^\S\r\n]+", " ", _EMPTY_BRACKETS.sub(" ", text))
    text = re.sub(r"\s+([.,;:)\]])", r"\1", text).strip(" \t,;:=-_/^#")
    return _LEFT_OVER.sub("", text).strip(" \t,;:=-_/^#") if re.search(r"\w", text) else ""


def _is_term(phrase: str) -> bool:
    return any(word.lower() in _terms() for word in re.split(r"[\s.^-]+", phrase) if len(word) > 1)


@cache
def _terms() -> frozenset[str]:
    """Words of the DICOM dictionary and of the terms that PS3.16 names."""
    schemes = importlib.import_module("pydicom.sr._concepts_dict").concepts.values()
    terms = [found[0] for scheme in schemes for codes in scheme.values() for found in codes.values()]
    attributes = [entry[2] for entry in DicomDictionary.values()]
    found = {word.lower() for word in re.findall(r"[A-Za-z]{3,}", " ".join([*attributes, *terms, _MORE_TERMS]))}
    return frozenset(found - _SURNAMES)
