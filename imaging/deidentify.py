"""De-identification by the table of DICOM PS3.15 Annex E: the only way from a read file to a clean image.

The Basic Application Level Confidentiality Profile is data (`data/ps315_basic_profile.json`), with its
edition. Compound codes are resolved to the weakest that every IOD allows (X/D to D, X/Z to Z): the value
always goes, the attribute stays where a Type 1 or 2 could need it. Beyond the table, whatever cannot be
judged is removed: private groups, curves, whole overlay groups, attributes that the data dictionary does
not know or has retired, values whose VR is not the dictionary's, names, dates, times and free texts that
the table does not list. No option of the profile is applied; dates are dummies and intervals are lost.

Pseudonyms are HMAC-SHA-256 under the site's key, which never leaves the site: the same patient and UID
give the same pseudonym in every run, and without the key nobody can link or confirm one. Pixels are
not searched for burned-in text here, and faces are not removed.
"""

import hmac
import json
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray
from pydicom import DataElement, Dataset, FileMetaDataset, Sequence
from pydicom.datadict import dictionary_has_tag, get_entry
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID

from imaging.volumes.headers import foreign_errors
from imaging.volumes.radiograph import DicomImage
from imaging.volumes.rejection import ImageRejected, Rejection

PROFILE = "DICOM PS3.15 Basic Application Level Confidentiality Profile"
KEY_BYTES = 32
_CONTEXT = b"collegium/v1/pseudonym/"
_MAX_DEPTH = 32
_STANDARD_UIDS = "1.2.840.10008."
_PATIENT_ID = 0x0010_0020
_IDENTIFYING = frozenset({"DA", "DT", "LT", "PN", "ST", "TM", "UN", "UT"})
"""Value representations that do not stay unless the table says so."""

_PATTERNS = {"50xxxxxx": "X", "60xx3000": "X", "60xx4000": "X", "ggggeeee where gggg is odd": "X"}
"""The rows of the table that stand for many tags; `_group_goes` implements these and no other."""

_ACTIONS = {
    "D": "dummy",
    "X/D": "dummy",
    "Z/D": "dummy",
    "X/Z/D": "dummy",
    "Z": "empty",
    "X/Z": "empty",
    "X": "remove",
    "U": "map",
    "X/Z/U*": "map",
}
_DUMMIES: Mapping[str, str | int | float | bytes] = MappingProxyType(
    dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "ANONYMISED")
    | {"UR": "urn:anonymised", "AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000"}
    | dict.fromkeys(("DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT"), 0)
    | dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), bytes(8))
)
"""A value of each representation that says nothing (code D)."""


@dataclass(frozen=True)
class Profile:
    """The Basic Profile of one edition.

    Attributes:
        edition: of the standard, as in "2026c".
        actions: tag -> "dummy", "empty", "remove" or "map".
    """

    edition: str
    actions: Mapping[int, str]


@cache
def profile() -> Profile:
    """The table that this package carries.

    Raises:
        RuntimeError: the data file has a code or pattern that is not implemented here.
    """
    data = json.loads((files("imaging") / "data" / "ps315_basic_profile.json").read_text("utf-8"))
    unknown = set(data["rows"].values()) - set(_ACTIONS)
    if unknown or data["patterns"] != _PATTERNS:
        raise RuntimeError("the de-identification table has a code or pattern that is not implemented")
    actions = {int(tag, 16): _ACTIONS[code] for tag, code in data["rows"].items()}
    return Profile(data["edition"], MappingProxyType(actions))


class Pseudonyms:
    """Names in place of names, under a key of the site.

    Args:
        key: 32 secret bytes; another key gives unlinkable pseudonyms, losing it unlinks them all.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise RuntimeError(f"the pseudonym key must have {KEY_BYTES} bytes")
        self._key = key

    def patient(self, patient_id: str) -> str:
        """The pseudonym of a PatientID: 160 bits as 32 characters of base 32."""
        return b32encode(self._mac("patient", patient_id)[:20]).decode()

    def uid(self, uid: str) -> str:
        """The UID in place of a UID: `2.25.` and 128 bits (PS3.5 B.2)."""
        return f"2.25.{int.from_bytes(self._mac('uid', uid)[:16], 'big')}"

    def file(self, relative: str) -> str:
        """What a rejected file is called where its path must not appear: 80 bits as 16 characters."""
        return b32encode(self._mac("file", relative)[:10]).decode()

    def _mac(self, purpose: str, value: str) -> bytes:
        message = _CONTEXT + purpose.encode() + b"\0" + value.encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, message, "sha256")


@dataclass(frozen=True)
class CleanImage:
    """A de-identified image: the only thing that a cohort stores. Made by `clean` alone.

    Attributes:
        patient: pseudonym of the patient.
        instance: UID in place of the SOP instance UID.
        modality: CR or DX.
        header: the de-identified attributes, without pixels, marked as such; not to be changed.
        pixels: (rows, columns), read-only, uint8, uint16 or float32, larger is brighter.
    """

    patient: str
    instance: str
    modality: str
    header: Dataset = field(repr=False)
    pixels: NDArray[Any] = field(repr=False)


def clean(image: DicomImage, pseudonyms: Pseudonyms) -> CleanImage:
    """De-identify a decoded image.

    Raises:
        ImageRejected: MALFORMED: an attribute that stays cannot be read, or sequences nest without end.
    """
    patient = pseudonyms.patient(image.header.patient)
    header = clean_dataset(image.header.dataset, pseudonyms)
    header.PatientID = patient
    return CleanImage(
        patient=patient,
        instance=pseudonyms.uid(image.header.instance),
        modality=image.header.modality,
        header=header,
        pixels=image.pixels,
    )


def clean_dataset(dataset: Dataset, pseudonyms: Pseudonyms) -> Dataset:
    """A new dataset with what the profile leaves of `dataset`, without pixel data, marked (PS3.15 E.1.1).

    Raises:
        ImageRejected: as `clean`.
    """
    with foreign_errors():
        cleaned = _clean_item(dataset, pseudonyms, depth=0)
        cleaned.PatientIdentityRemoved = "YES"
        cleaned.DeidentificationMethod = [PROFILE, f"edition {profile().edition}, by Collegium"]
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
        code.CodeMeaning = "Basic Application Confidentiality Profile"
        cleaned.DeidentificationMethodCodeSequence = Sequence([code])
        cleaned.LongitudinalTemporalInformationModified = "REMOVED"
        cleaned.file_meta = FileMetaDataset()
        for keyword, value in (
            ("MediaStorageSOPClassUID", dataset.get("SOPClassUID")),
            ("MediaStorageSOPInstanceUID", cleaned.get("SOPInstanceUID")),
            ("TransferSyntaxUID", dataset.file_meta.get("TransferSyntaxUID")),
        ):
            if value:
                setattr(cleaned.file_meta, keyword, value)
    return cleaned


def _clean_item(item: Dataset, pseudonyms: Pseudonyms, depth: int) -> Dataset:
    if depth > _MAX_DEPTH:
        raise ImageRejected(Rejection.MALFORMED)
    cleaned = Dataset()
    actions = profile().actions
    for tag in item.keys():  # noqa: SIM118 - iterating the dataset itself would decode every element first
        if _group_goes(tag) or not dictionary_has_tag(tag):
            continue
        vrs, _, _, retired, _ = get_entry(tag)
        vr = vrs.split(" or ")[0]
        action = actions.get(tag)
        if tag == _PATIENT_ID:
            element: DataElement | None = DataElement(tag, "LO", _each(item[tag].value, pseudonyms.patient))
        elif action == "dummy":
            element = DataElement(tag, vr, _dummy(item, tag, vr, pseudonyms))
        elif action == "empty":
            element = DataElement(tag, vr, Sequence() if vr == "SQ" else None)
        elif action == "remove":
            element = None
        elif action == "map" or not (retired or vr in _IDENTIFYING):
            element = _kept(item[tag], vrs, pseudonyms, depth, standard=action is None)
        else:
            element = None
        if element is not None:
            cleaned[tag] = element
    return cleaned


def _group_goes(tag: BaseTag) -> bool:
    """Private groups, commands and file meta, curves, overlays, pixels, padding and signatures."""
    group = tag.group
    return bool(group % 2) or group < 0x0008 or group >> 8 in (0x50, 0x60) or group >= 0x7FE0


def _kept(element: DataElement, vrs: str, pseudonyms: Pseudonyms, depth: int, *, standard: bool) -> DataElement | None:
    """An element that stays, with its UIDs mapped and its items cleaned; None if it is not what it should be.

    Args:
        element: decoded.
        vrs: the dictionary's value representations, as in "US or SS".
        pseudonyms: of the site.
        depth: of nesting.
        standard: whether UIDs that DICOM defines stay as they are.
    """
    vr = element.VR
    if vr != vrs and vr not in vrs.split(" or "):  # an ambiguous one may still be unresolved, as in "US or SS"
        return None
    if vr == "SQ":
        items = [_clean_item(item, pseudonyms, depth + 1) for item in element.value]
        return DataElement(element.tag, vr, Sequence(items))
    if vr == "UI":
        keep = _STANDARD_UIDS if standard else None
        return DataElement(element.tag, vr, _each(element.value, lambda uid: _mapped(uid, keep, pseudonyms)))
    return element if standard else None


def _mapped(uid: str, keep: str | None, pseudonyms: Pseudonyms) -> UID:
    return UID(uid if keep and uid.startswith(keep) else pseudonyms.uid(uid))


def _dummy(item: Dataset, tag: BaseTag, vr: str, pseudonyms: Pseudonyms) -> Any:
    if vr == "SQ":
        return Sequence([Dataset()])
    if vr == "UI":
        return _each(item[tag].value, pseudonyms.uid)
    return _DUMMIES[vr]


def _each(value: Any, replace: Callable[[str], str]) -> Any:
    """Replace a text value, or each of several; an empty one stays empty."""
    values: Iterable[Any] = value if isinstance(value, MultiValue | list) else [value]
    replaced = [replace(str(one).strip(" \0")) for one in values if one]
    return replaced[0] if len(replaced) == 1 else replaced or None
