"""The walk through a header: every attribute meets the table, and what cannot be judged goes.

Beyond the table go: private groups (unless listed as safe), curves, whole overlay groups, attributes that
the data dictionary does not know or has retired, values whose VR is not the dictionary's, names and free
texts that the table does not list. Texts that stay lose the words of this patient's own header. Pixels
are left out here.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from pydicom import DataElement, Dataset, FileMetaDataset, Sequence
from pydicom.datadict import dictionary_has_tag, get_entry
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID

from imaging.deidentification.dates import shifted
from imaging.deidentification.dummies import DUMMIES, hollow
from imaging.deidentification.marks import METHOD, mark
from imaging.deidentification.profile import BASIC, Option, Profile
from imaging.deidentification.pseudonyms import Naming
from imaging.deidentification.table import DATES, Action, rules
from imaging.deidentification.text import scrubbed, without_own
from imaging.deidentification.words import PatientWords
from imaging.volumes.headers import foreign_errors
from imaging.volumes.rejection import ImageRejected, Rejection

PROFILE = METHOD
Actions = Counter[str]
"""How many elements met which end; holds no value."""

_MAX_DEPTH = 32
_STANDARD_UIDS = "1.2.840.10008."
_PATIENT_ID = 0x0010_0020
_PATIENT_AGE = 0x0010_1010
_HIGHEST_AGE = 89
_SHORT = frozenset({"LO", "SH", "UC"})
_LONG = frozenset({"LT", "ST", "UT"})
_TEXTS = _SHORT | _LONG | {"AE", "CS"}


def edition() -> str:
    """Of the table, as in "2026c"."""
    return rules(BASIC).edition


def clean_dataset(dataset: Dataset, profile: Profile, pseudonyms: Naming) -> tuple[Dataset, Actions]:
    """A new dataset with what the profile leaves of `dataset`, without pixel data, marked (PS3.15 E.1.1).

    Args:
        dataset: identifying; not changed.
        profile: what stays.
        pseudonyms: of the site, or of its project.

    Raises:
        ImageRejected: MALFORMED: an attribute that stays cannot be read, or sequences nest without end.
            NO_PATIENT: dates are to be shifted and there is no PatientID to shift them by.
    """
    with foreign_errors():
        walk = _Walk(dataset, profile, pseudonyms)
        cleaned = walk.item(dataset, depth=0)
        mark(cleaned, profile, rules(profile).edition)
        cleaned.file_meta = FileMetaDataset()
        for keyword, value in (
            ("MediaStorageSOPClassUID", dataset.get("SOPClassUID")),
            ("MediaStorageSOPInstanceUID", cleaned.get("SOPInstanceUID")),
            ("TransferSyntaxUID", dataset.file_meta.get("TransferSyntaxUID")),
        ):
            if value:
                setattr(cleaned.file_meta, keyword, value)
    return cleaned, walk.actions


class _Walk:
    """One file's walk: the words and the shift of its patient, and what was done."""

    def __init__(self, dataset: Dataset, profile: Profile, pseudonyms: Naming) -> None:
        self.actions: Actions = Counter()
        self._profile, self._pseudonyms, self._rules = profile, pseudonyms, rules(profile)
        self._words = PatientWords(dataset, institution=not profile.has(Option.RETAIN_INSTITUTION))
        self._safe = {
            (int(block.group, 16), block.creator, int(offset, 16))
            for block in profile.private
            for offset in block.elements
        }
        self._cleans_text = profile.has(Option.CLEAN_DESCRIPTORS) or profile.has(Option.CLEAN_STRUCTURED_CONTENT)
        self._hollowing = False
        self._days: int | None = None
        if profile.has(Option.MODIFIED_DATES):
            patient = str(dataset.get("PatientID") or "").strip(" \0")
            if not patient:
                raise ImageRejected(Rejection.NO_PATIENT)
            self._days = pseudonyms.days(patient, profile.shift_days)

    def item(self, item: Dataset, depth: int) -> Dataset:
        """What stays of a dataset or of an item of a sequence."""
        if depth > _MAX_DEPTH:
            raise ImageRejected(Rejection.MALFORMED)
        cleaned = Dataset()
        for tag in item.keys():  # noqa: SIM118 - iterating the dataset itself would decode every element first
            if tag.is_private:
                self._private(item, tag, cleaned, depth)
                continue
            done, element = self._judged(item, tag, depth)
            self.actions[done] += 1
            if element is not None:
                cleaned[tag] = element
        return cleaned

    def _judged(self, item: Dataset, tag: BaseTag, depth: int) -> tuple[str, DataElement | None]:
        if _group_goes(tag):
            return ("pixels" if tag.group == 0x7FE0 else "graphics_removed", None)
        if not dictionary_has_tag(tag):
            return "unknown_removed", None
        vrs, _, _, retired, _ = get_entry(tag)
        if tag == _PATIENT_ID:
            return "patient_mapped", DataElement(tag, "LO", _each(item[tag].value, self._pseudonyms.patient))
        action = self._rules.actions.get(tag)
        if action is None:
            return self._unlisted(item[tag], vrs, depth) if not retired else ("unknown_removed", None)
        if action in (Action.KEEP, Action.CLEAN, Action.SHIFT):
            kept = self._option(item[tag], vrs, action, depth)
            if kept is not None:
                return kept
            action = self._rules.basic.get(tag, Action.REMOVE)
        return self._basic(item, tag, vrs, action, depth)

    def _basic(
        self, item: Dataset, tag: BaseTag, vrs: str, action: Action, depth: int
    ) -> tuple[str, DataElement | None]:
        """By a code of the Basic Profile."""
        vr = vrs.split(" or ")[0]
        if action is Action.DUMMY:
            return "dummy", DataElement(tag, vr, self._dummy(item[tag], vrs, depth))
        if action is Action.EMPTY:
            return "emptied", DataElement(tag, vr, Sequence() if vr == "SQ" else None)
        element = item[tag] if action is Action.MAP else None
        if element is not None and _fits(element, vrs):
            if element.VR == "SQ":
                return "kept", self._sequence(element, depth)
            if element.VR == "UI":
                return "uid_mapped", DataElement(tag, "UI", _each(element.value, self._uid))
        return "removed", None

    def _option(
        self, element: DataElement, vrs: str, action: Action, depth: int
    ) -> tuple[str, DataElement | None] | None:
        """By a code of an option; None: the value does not allow it, and the Basic Profile's code holds."""
        if not _fits(element, vrs):
            return None
        vr = element.VR
        if vr == "SQ":
            return "kept", self._sequence(element, depth)
        if vr in DATES and self._days is not None:
            return self._shifted(element)
        if vr in _TEXTS:
            return self._text(element, scrubbed if action is Action.CLEAN else without_own)
        if action is not Action.KEEP:
            return None
        if element.tag == _PATIENT_AGE:
            return "kept", DataElement(element.tag, vr, _each(element.value, _age))
        return "kept", element

    def _unlisted(self, element: DataElement, vrs: str, depth: int) -> tuple[str, DataElement | None]:
        """What the table does not name."""
        vr = element.VR
        if not _fits(element, vrs) or vr in ("PN", "UN"):
            return "unknown_removed", None
        if vr == "SQ":
            return "kept", self._sequence(element, depth)
        if vr == "UI":
            mapped = DataElement(element.tag, vr, _each(element.value, self._foreign_uid))
            return ("kept" if mapped == element else "uid_mapped"), mapped
        if vr in DATES:
            return self._dated(element) or ("unknown_removed", None)
        dummy = DataElement(element.tag, vr, DUMMIES[vr]) if vr in _LONG | _SHORT else None
        if vr in _LONG and not self._cleans_text:
            return ("dummy", dummy) if self._hollowing else ("unknown_removed", None)
        if dummy is not None:
            # With nothing left a dummy: a report's text, for one, is required.
            return self._text(element, scrubbed if vr in _LONG else without_own) or ("dummy", dummy)
        return "kept", element

    def _private(self, item: Dataset, tag: BaseTag, cleaned: Dataset, depth: int) -> None:
        """Keep a private element that is listed as safe, with its creator; nothing else of its block."""
        done, element = "private_removed", None
        creator = BaseTag(tag.group << 16 | tag.element >> 8)
        name = str(item[creator].value).strip(" \0") if tag.element > 0xFF and creator in item else ""
        if (tag.group, name, tag.element & 0xFF) in self._safe:
            found = item[tag]
            vr = found.VR
            if vr == "UN":
                # Bytes without a dictionary: the hospital answers for them, but not with the patient's name in.
                named = self._words.within(bytes(found.value or b"").decode("latin-1"))
                done, element = ("private_removed", None) if named else ("private_kept", found)
            else:
                done, element = self._unlisted(found, vr, depth)
        self.actions[done] += 1
        if element is not None:
            cleaned[creator] = DataElement(creator, "LO", name)
            cleaned[tag] = element

    def _sequence(self, element: DataElement, depth: int) -> DataElement:
        return DataElement(element.tag, "SQ", Sequence([self.item(item, depth + 1) for item in element.value]))

    def _dated(self, element: DataElement) -> tuple[str, DataElement | None] | None:
        return None if self._days is None else self._shifted(element)

    def _shifted(self, element: DataElement) -> tuple[str, DataElement | None] | None:
        days, values = self._days or 0, _values(element.value)
        moved = [shifted(str(one), element.VR, days) for one in values]
        if None in moved:
            return None
        return "date_shifted", DataElement(element.tag, element.VR, _one_or_all(moved))

    def _text(
        self, element: DataElement, cleaner: Callable[[str, PatientWords], str]
    ) -> tuple[str, DataElement | None] | None:
        """None: nothing of the text may stay."""
        before = [str(one) for one in _values(element.value)]
        after = [left for left in (cleaner(one, self._words) for one in before) if left]
        if after == before:
            return "kept", element
        return ("text_cleaned", DataElement(element.tag, element.VR, _one_or_all(after))) if after else None

    def _dummy(self, element: DataElement, vrs: str, depth: int) -> Any:
        vr = vrs.split(" or ")[0]
        if vr == "SQ":
            items = element.value if element.VR == "SQ" else []
            return Sequence([hollow(self._with_texts(item, depth + 1)) for item in items])
        if vr == "UI":
            return _each(element.value, self._uid)
        return DUMMIES[vr]

    def _with_texts(self, item: Dataset, depth: int) -> Dataset:
        """An item in which free texts stay as dummies, as its IOD may require one."""
        before, self._hollowing = self._hollowing, True
        cleaned = self.item(item, depth)
        self._hollowing = before
        return cleaned

    def _uid(self, uid: str) -> UID:
        return UID(self._pseudonyms.uid(uid))

    def _foreign_uid(self, uid: str) -> UID:
        """A UID that DICOM defines stays: it names a class, not an instance."""
        kept = uid.startswith(_STANDARD_UIDS) or self._profile.has(Option.RETAIN_UIDS)
        return UID(uid) if kept else self._uid(uid)


def _group_goes(tag: BaseTag) -> bool:
    """Commands and file meta, curves, overlays, pixels, padding and signatures."""
    return tag.group < 0x0008 or tag.group >> 8 in (0x50, 0x60) or tag.group >= 0x7FE0


def _fits(element: DataElement, vrs: str) -> bool:
    """Whether a value has the dictionary's VR; an ambiguous one may still be unresolved, as in "US or SS"."""
    return vrs == element.VR or element.VR in vrs.split(" or ")


def _age(age: str) -> str:
    """Ages above 89 become 90 (45 CFR 164.514(b)(2)(i)(C))."""
    years = age.endswith("Y") and age[:-1].isdigit() and int(age[:-1]) > _HIGHEST_AGE
    return "090Y" if years else age


def _values(value: Any) -> list[Any]:
    values: Iterable[Any] = value if isinstance(value, MultiValue | list) else [value]
    return [one for one in values if one]


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values or None


def _each(value: Any, replace: Callable[[str], str]) -> Any:
    """Replace a text value, or each of several; an empty one stays empty."""
    return _one_or_all([replace(str(one).strip(" \0")) for one in _values(value)])
