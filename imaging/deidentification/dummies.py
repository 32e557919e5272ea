"""Values that say nothing (code D of PS3.15): of the attribute's representation, so that what an IOD requires is there.

Which element gets one is for `table` and `walk` to say.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pydicom import DataElement, Dataset, Sequence
from pydicom.multival import MultiValue

DUMMIES: Mapping[str, str | int | float | bytes] = MappingProxyType(
    dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "ANONYMISED")
    | {"UR": "urn:anonymised", "AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000"}
    | dict.fromkeys(("DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT"), 0)
    | dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), bytes(8))
)
"""One for each representation but UIDs, which are mapped, and sequences, which are hollowed."""

_HOLLOWED = frozenset({"AE", "AS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"})


def hollow(item: Dataset) -> Dataset:
    """A cleaned item of a sequence with code D: its form stays, for IODs that require it, and no content.

    Texts, codes, and numbers that are written as text become dummies; coordinates and channels stay.
    """
    for element in item:
        if element.VR == "SQ":
            element.value = Sequence([hollow(one) for one in element.value])
        elif element.VR in _HOLLOWED and element.value not in (None, ""):
            many = len(element.value) if isinstance(element.value, MultiValue | list) else 1
            dummy = 1 if element.VR == "IS" else DUMMIES[element.VR]  # frames and items are counted from one
            item[element.tag] = DataElement(element.tag, element.VR, [dummy] * many if many > 1 else dummy)
    return item
