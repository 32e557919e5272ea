import io
import os
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid


@pytest.fixture
def make_dicom():
    """A radiograph with a full header: `make_dicom(pixels=..., syntax=..., Keyword=value, ...)`; None removes."""

    def make(pixels=None, syntax=ExplicitVRLittleEndian, **attributes):
        if pixels is None:
            pixels = np.arange(16 * 12, dtype=np.uint16).reshape(16, 12)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID = ComputedRadiographyImageStorage
        dataset.SOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID = generate_uid()
        dataset.SeriesInstanceUID = generate_uid()
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "P-1", "Doe^Jane", "19700203"
        dataset.StudyDate, dataset.Modality, dataset.BodyPartExamined = "20240506", "CR", "CHEST"
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        dataset.BitsStored = dataset.BitsAllocated
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", ComputedRadiographyImageStorage)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
        return dataset

    return make


@pytest.fixture
def encoded():
    """The bytes of a DICOM file."""

    def encode(dataset):
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data that may lie beside the repository."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("COLLEGIUM_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no shared data beside the repository (COLLEGIUM_SHARED_DATA)")
    return folder
