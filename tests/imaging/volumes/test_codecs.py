"""Every file that comes with pydicom decodes as pydicom has it, by a decoder that is named, or is refused by name."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array
from pydicom.pixels.decoders.base import _PIXEL_DATA_DECODERS
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from imaging.volumes import codecs, headers
from imaging.volumes.rejection import ImageRejected, Rejection
from tests.imaging.series import Series

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
NOT_READ = {
    "JPEG-lossy.dcm": Rejection.SYNTAX,  # 12 bits: pylibjpeg-libjpeg alone decodes it, an extra for its licence
    "JPGExtended.dcm": Rejection.SYNTAX,
    "image_dfl.dcm": Rejection.SYNTAX,  # deflated
    "JPEG2000-embedded-sequence-delimiter.dcm": Rejection.MALFORMED,  # states 3,722,445,056 columns
    "MR_truncated.dcm": Rejection.TRUNCATED,
    "badVR.dcm": Rejection.MALFORMED,
    "nested_priv_SQ.dcm": Rejection.MALFORMED,  # pixels without a size
    "SC_rgb_small_odd.dcm": Rejection.TOO_SMALL,
    "SC_rgb_small_odd_big_endian.dcm": Rejection.TOO_SMALL,
    "SC_rgb_small_odd_jpeg.dcm": Rejection.TOO_SMALL,
    "SC_rgb_rle_32bit.dcm": Rejection.PIXEL_FORMAT,
    "SC_rgb_rle_32bit_2frame.dcm": Rejection.PIXEL_FORMAT,
    "liver_1frame.dcm": Rejection.PIXEL_FORMAT,
    "liver_expb_1frame.dcm": Rejection.PIXEL_FORMAT,
} | {path.name: Rejection.PIXEL_FORMAT for path in BUNDLED.glob("rtdose*.dcm")}
NO_IMAGE = {Rejection.NO_PIXELS, Rejection.NOT_DICOM}
"""Files without pixels or file meta information, which are not about codecs."""


def outcome(name):
    """Dataset, frames and decoder of a bundled file, or why there are none."""
    try:
        with headers.foreign_errors():
            dataset = headers.parse((BUNDLED / name).read_bytes(), pixels=True)
            if "PixelData" not in dataset:
                return Rejection.NO_PIXELS
            codecs.check_size(dataset)
            decoded, decoder = codecs.decode(dataset, colour=dataset.SamplesPerPixel == 3)
            return dataset, np.stack(list(decoded)), decoder
    except ImageRejected as error:
        return error.rejection


@pytest.mark.filterwarnings("ignore:The pixel data is")
@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLED.glob("*.dcm")))
def test_every_bundled_file_decodes_as_pydicom_has_it_or_is_named(name):
    found = outcome(name)
    if isinstance(found, Rejection):
        assert found == NOT_READ.get(name, found)
        assert name in NOT_READ or found in NO_IMAGE
        return
    assert name not in NOT_READ
    dataset, frames, decoder = found
    assert frames.dtype.isnative
    expected = pixel_array(dataset, raw=dataset.SamplesPerPixel == 1)
    np.testing.assert_array_equal(frames.squeeze(), expected.squeeze())
    package, number = decoder.split(" ")
    assert number == version(package)


def test_every_decoder_that_pydicom_knows_has_a_place_in_the_order():
    known = {syntax for syntax, (decoder, *_) in _PIXEL_DATA_DECODERS.items() if decoder.is_encapsulated}
    known -= {syntax for syntax in known if not UID(syntax).is_compressed or "Deflated" in UID(syntax).name}
    assert known == set(codecs.DECODERS)
    missing = {syntax for syntax in codecs.DECODERS if not codecs.supported(syntax)}
    assert not missing, "a decoder of the constraints is not installed"
    assert not codecs.supported("1.2.840.10008.1.2.4.100")


def test_declared_sizes_have_limits():
    dataset = Series(slices=1).file(0)
    for attributes in ({"Rows": 20_000, "Columns": 20_000}, {"Rows": 4096, "Columns": 4096, "NumberOfFrames": 65}):
        large = Series(slices=1).file(0, **attributes)
        with pytest.raises(ImageRejected) as caught:
            codecs.check_size(large)
        assert caught.value.rejection == Rejection.TOO_LARGE
    codecs.check_size(dataset)


@pytest.mark.parametrize(
    ("syntax", "said", "expected"),
    [
        (ExplicitVRLittleEndian, None, False),
        (ExplicitVRLittleEndian, "01", True),
        (JPEGBaseline8Bit, None, True),
        (JPEGExtended12Bit, "00", True),
        (JPEG2000Lossless, None, False),
        ("1.2.840.10008.1.2.4.91", None, True),
        ("1.2.840.10008.1.2.4.91", "00", False),
    ],
)
def test_loss_is_told_by_the_syntax_or_the_header(syntax, said, expected):
    dataset = Series(slices=1).file(0)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if said is not None:
        dataset.LossyImageCompression = said
    assert codecs.is_lossy(dataset) is expected
