"""What is kept and what goes: the profile, which a hospital may write down in a YAML file.

Without a file the Basic Profile holds with no option. Strict: a key, option or tag that is not known is
refused, as a misspelt option would otherwise quietly keep or remove something else.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

from imaging import bounded
from imaging.errors import ImagingError

MAX_BYTES = 1_000_000
"""A larger profile file is refused before it is parsed."""


class Option(StrEnum):
    """Options of PS3.15 Annex E that change which codes of the table hold."""

    CLEAN_DESCRIPTORS = "clean_descriptors"
    CLEAN_GRAPHICS = "clean_graphics"
    CLEAN_PIXELS = "clean_pixels"
    CLEAN_STRUCTURED_CONTENT = "clean_structured_content"
    MODIFIED_DATES = "modified_dates"
    RETAIN_DEVICE = "retain_device"
    RETAIN_INSTITUTION = "retain_institution"
    RETAIN_PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
    RETAIN_SAFE_PRIVATE = "retain_safe_private"
    RETAIN_UIDS = "retain_uids"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _known(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None or not dictionary_has_tag(tag):
        raise ValueError("not a keyword of the DICOM dictionary")
    if dictionary_VR(tag) == "PN" or keyword == "PatientID":
        raise ValueError("names and the PatientID cannot be allowed")
    if tag >> 24 in (0x50, 0x60) or tag < 0x0008_0000 or tag >= 0x7FE0_0000:
        raise ValueError("overlays, curves, pixels and file meta information cannot be allowed")
    return keyword


Keyword = Annotated[str, AfterValidator(_known)]


class PrivateBlock(_Strict):
    """Private elements that the hospital holds safe (PS3.15 E.3.10).

    Attributes:
        group: as "0x0019"; odd.
        creator: private creator as in the file, compared exactly.
        elements: their offsets in the block, as "0x0c".
    """

    group: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{3}[13579bdfBDF]$")]
    creator: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    elements: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{2}$")], ...], Field(min_length=1)
    ]


class PixelPolicy(_Strict):
    """What may leave as pixels (`deidentification.pixels`).

    Attributes:
        sop_classes: names of SOP classes as in "CTImageStorage" that may pass; None: the built-in list.
        burned_in: what becomes of a file that says YES: quarantine, or all text found is blanked (needs
            `text_search`).
        text_search: off, or what follows when text in the pixels equals a value of the patient's header.
        text_seconds: for the search of one frame.
        text_frames: of a multi-frame image that are searched: the first, the last and between.
        faces: state: a scan of a head passes and is marked; quarantine: it does not pass.
    """

    sop_classes: tuple[str, ...] | None = None
    burned_in: Literal["quarantine", "blank"] = "quarantine"
    text_search: Literal["off", "quarantine", "blank"] = "off"
    text_seconds: Annotated[int, Field(ge=1, le=600)] = 60
    text_frames: Annotated[int, Field(ge=1, le=1000)] = 3
    faces: Literal["state", "quarantine"] = "state"


class Profile(_Strict):
    """The Basic Profile with the chosen options.

    Attributes:
        version: of this format.
        project: pseudonyms of different projects cannot be linked; None: those of the silo's cohorts.
        pseudonyms: keyed (HMAC) or drawn at random and kept in a table.
        options: chosen options.
        shift_days: dates go back by 1 to this many days, a number of each patient's own.
        keep: keywords that stay although the table lists them or the walk does not know them.
        private: what `retain_safe_private` keeps.
        pixels: see `PixelPolicy`.
    """

    version: Literal[1] = 1
    project: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")] | None = None
    pseudonyms: Literal["keyed", "table"] = "keyed"
    options: frozenset[Option] = frozenset()
    shift_days: Annotated[int, Field(ge=30, le=36500)] = 3650
    keep: frozenset[Keyword] = frozenset()
    private: tuple[PrivateBlock, ...] = ()
    pixels: PixelPolicy = PixelPolicy()

    def has(self, option: Option) -> bool:
        """Whether an option is chosen."""
        return option in self.options

    def model_post_init(self, _: Any) -> None:
        """Refuse choices that contradict each other."""
        if bool(self.private) != self.has(Option.RETAIN_SAFE_PRIVATE):
            raise ValueError("'private' and the option retain_safe_private need each other")
        if self.pixels.text_search != "off" and not self.has(Option.CLEAN_PIXELS):
            raise ValueError("pixels.text_search needs the option clean_pixels")
        if self.pixels.burned_in == "blank" and self.pixels.text_search != "blank":
            raise ValueError("pixels.burned_in: blank needs pixels.text_search: blank")


BASIC = Profile()
"""The Basic Profile without options."""


def read(path: Path) -> Profile:
    """Read a profile file.

    Raises:
        ImagingError: `profile.unreadable` or `profile.invalid`, which names the key and never a value.
    """
    try:
        data = bounded.read(path, MAX_BYTES)
    except OSError as error:
        raise ImagingError(
            "the profile cannot be read; check its name and permissions", "profile.unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise ImagingError("the profile is too large to be one", "profile.invalid")
    try:
        plain = yaml.load(data, Loader=_Plain)  # noqa: S506 - a SafeLoader that refuses more
        return Profile.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(re.sub(r"[^\w-]", "", str(part)) for part in first["loc"]) or "the document"
        raise ImagingError(f"the profile does not fit at {key}: {first['msg']}", "profile.invalid") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ImagingError(
            "the profile is not plain YAML with each key once; compare it with the sample", "profile.invalid"
        ) from None


class _Plain(yaml.SafeLoader):
    """Refuses aliases, which can expand without bound, and keys that come twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are refused")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(map(str, keys))):
            raise yaml.YAMLError("a key comes twice")
        return super().construct_mapping(node, deep)
