"""Pixel data that are not what their header declares are refused before anything decodes them."""

import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from imaging.volumes import codecs, headers
from imaging.volumes.rejection import ImageRejected, Rejection
from tests.imaging.series import Series


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless, JPEGLSLossless])
def test_a_stream_that_states_another_size_is_refused_before_it_is_decoded(monkeypatch, syntax):
    dataset = Series(slices=1, rows=32, columns=32).file(0)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.Rows = 40
    if syntax != RLELossless:  # its decoder allocates what the header declares
        monkeypatch.setattr(codecs, "PROCESS", None)  # it would have been asked
    with pytest.raises(ImageRejected) as caught, headers.foreign_errors():
        list(codecs.decode(dataset)[0])
    assert caught.value.rejection == Rejection.MALFORMED


@pytest.mark.parametrize("at", [0, 2, 8, 40, 60])
def test_streams_that_are_cut_are_refused(at):
    dataset = Series(slices=1, rows=32, columns=32).file(0)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[:at] or b"\0\0"])
    with pytest.raises(ImageRejected), headers.foreign_errors():
        list(codecs.decode(dataset)[0])
