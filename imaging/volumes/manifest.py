"""What was done to make a volume, as plain JSON: enough to make it again and to doubt it, nothing of the patient.

No UID, path, date or text of the source goes in; the source digest is a hash of whole files and stays on
site like the volume itself. Bump `PIPELINE` when the same source would give other voxels, an other affine
or other fields: cached volumes of older pipelines are then made anew.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

PIPELINE = 1
"""Version of everything between source files and a `Volume`."""


@dataclass(frozen=True)
class Manifest:
    """How a volume came about.

    Attributes:
        source: "dicom", "nifti", "png" or "jpeg".
        modality: as in DICOM (CT, MR, PT, CR, DX, MG, US, ...), None if the source does not say.
        shape: of the array.
        dtype: of the array, as numpy names it.
        spacing: millimetres between voxel centres along each axis of the array; None if unknown.
        spacing_source: "patient" (positions in the frame of reference), "detector" (ImagerPixelSpacing:
            at the detector, not in the patient), "calibrated" (PixelSpacing of a projection), "assumed" (a NIfTI
            file that states no unit, read as millimetres), "listing" (who listed the file says so) or "none".
        orientation: where the index of each axis grows to, as in "LPS"; None if unknown.
        photometric: "as stored", "inverted" (so that larger is brighter) or "luminance".
        rescale: "none", "linear", "linear by slice" or "table" (modality LUT).
        decoders: name and version of every pixel decoder that was used, sorted.
        syntaxes: transfer syntax UIDs of the source files, sorted; empty for pictures and NIfTI.
        lossy: whether any source file was ever compressed with loss.
        part: which part of a series this is, as in {"b_value": "1000"}; empty for a whole one.
        files: number of source files.
        source_digest: SHA-256 over the digests of the source files and this part, hex.
        unit: of the values, as the source names it (RescaleType of CT, "HU" if absent; Units of PET); None if it has
            none or does not say.
        pipeline: version of the code, see `PIPELINE`.
    """

    source: str
    modality: str | None
    shape: tuple[int, ...]
    dtype: str
    spacing: tuple[float, ...] | None
    spacing_source: str
    orientation: str | None
    photometric: str
    rescale: str
    decoders: tuple[str, ...]
    syntaxes: tuple[str, ...]
    lossy: bool
    part: tuple[tuple[str, str], ...]
    files: int
    source_digest: str
    unit: str | None = None
    pipeline: int = PIPELINE

    def canonical(self) -> bytes:
        """JSON with sorted keys and no white space: equal manifests give equal bytes."""
        content = asdict(self) | {"part": dict(self.part)}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @staticmethod
    def parse(data: bytes) -> "Manifest":
        """The manifest of which `canonical` made these bytes.

        Raises:
            ValueError: they are not such bytes.
        """
        content: dict[str, Any] = json.loads(data)
        if set(content) != {field.name for field in fields(Manifest)}:
            raise ValueError("not a manifest")
        for name in ("shape", "decoders", "syntaxes"):
            content[name] = tuple(content[name])
        content["spacing"] = None if content["spacing"] is None else tuple(content["spacing"])
        content["part"] = tuple(sorted(content["part"].items()))
        manifest = Manifest(**content)
        if manifest.canonical() != data:
            raise ValueError("not a manifest in canonical form")
        return manifest
