"""Everything that reads images, masks and tables of a hospital's own systems: DICOM intake above all."""

import logging
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import chain

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, RLELossless

from imaging.bundles import definition
from imaging.deidentification import profile
from imaging.errors import ImagingError
from imaging.labels import table
from imaging.sources import header, listing
from imaging.sources.header import HeaderRejected
from imaging.volumes import nifti, pictures, reading
from imaging.volumes.rejection import ImageRejected
from tests.fuzz.disk_targets import SAMPLES
from tests.fuzz.files import in_file
from tests.fuzz.target import Target
from tests.imaging.series import Series

REFUSES = (ImagingError, ImageRejected, HeaderRejected)
WIDE = 1100
"""Megabytes that one allocation may have where a size is stated by the file: the largest volume is taken whole."""

logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


class Names:
    """Stands in for the site's pseudonyms."""

    def patient(self, patient_id: str) -> str:
        return f"p{zlib.crc32(patient_id.encode('utf-8', 'surrogateescape'))}"

    def uid(self, uid: str) -> str:
        return f"2.25.{zlib.crc32(uid.encode('utf-8', 'surrogateescape'))}"

    def file(self, relative: str) -> str:
        return f"f{zlib.crc32(relative.encode())}"

    def days(self, patient_id: str, at_most: int) -> int:
        return 1 + zlib.crc32(patient_id.encode("utf-8", "surrogateescape")) % at_most


def a_slice() -> Iterator[bytes]:
    """A slice as it comes from a scanner, plain and compressed."""
    for syntax in (None, RLELossless, JPEG2000Lossless):
        dataset, buffer = Series(slices=1, rows=32, columns=32).file(0), BytesIO()
        if syntax is not None:
            dataset.compress(syntax)
        dataset.save_as(buffer, enforce_file_format=True)
        yield buffer.getvalue()


def in_a_jp2() -> Iterator[bytes]:
    """A slice whose codestream is within boxes, as some archives have them."""
    dataset, buffer = Series(slices=1, rows=32, columns=32).file(0), BytesIO()
    dataset.compress(JPEG2000Lossless)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + (len(stream) + 8).to_bytes(4, "big") + b"jp2c"
    dataset.PixelData = encapsulate([boxes + stream])
    dataset.save_as(buffer, enforce_file_format=True)
    yield buffer.getvalue()


def volumes(data: bytes) -> object:
    """The whole way of a file: scan, geometry, decoding in the process of its own."""
    return in_file(lambda path: reading.read([path]), "x.dcm", data)


def a_nifti() -> Iterator[bytes]:
    """A small volume."""
    import nibabel

    yield nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0])).to_bytes()


def pictures_of(form: str) -> Iterator[bytes]:
    """A small picture."""
    buffer = BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, form)
    yield buffer.getvalue()


def a_table(data: bytes) -> object:
    """A label table."""
    return in_file(lambda path: table.read(path, Names()), "labels.csv", data)


def a_listing(data: bytes) -> object:
    """A listing of pictures."""
    return in_file(listing.read, "listing.csv", data)


def of_sample(name: str) -> Iterator[bytes]:
    """A sample file."""
    yield (SAMPLES / name).read_bytes()


TARGETS = (
    Target("dicom-header", partial(in_file, lambda path: header.read(str(path)), "x.dcm"), REFUSES, a_slice, 8192),
    Target("dicom-volume", volumes, REFUSES, lambda: chain(a_slice(), in_a_jp2()), 8192, WIDE),
    Target("nifti", nifti.read, REFUSES, a_nifti, megabytes=WIDE),
    Target("png", partial(in_file, pictures.read, "x.png"), REFUSES, partial(pictures_of, "PNG"), megabytes=WIDE),
    Target("jpeg", partial(in_file, pictures.read, "x.jpg"), REFUSES, partial(pictures_of, "JPEG"), megabytes=WIDE),
    Target("label-table", a_table, REFUSES, lambda: iter([b"patient,label,split\nP-1,1,train\nP-2,0,test\n"])),
    Target(
        "listing",
        partial(in_file, listing.read, "listing.csv"),
        REFUSES,
        lambda: iter([b"file,patient\na.png,P-1\n"]),
    ),
    Target("profile", partial(in_file, profile.read, "p.yaml"), REFUSES, partial(of_sample, "deidentify.yaml")),
    Target(
        "bundle",
        partial(in_file, definition.read, "inference.json"),
        REFUSES,
        lambda: iter([b'{"network_def": {"_target_": "UNet", "channels": [4, 8], "strides": "@s"}, "s": [2]}']),
    ),
)
