"""Made series with known truth: HU and world position of every voxel are computed beside the files, not from them."""

from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, FileMetaDataset, Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


@dataclass
class Series:
    """A classic series. `hu[k]` is the (rows, columns) image of the plane at `position(k)`."""

    slices: int = 6
    rows: int = 10
    columns: int = 12
    orientation: tuple = AXIAL
    spacing: tuple = (0.7, 0.8)  # between rows, between columns
    gap: float = 2.5
    origin: tuple = (-31.0, 17.0, 5.0)
    slope: float = 1
    intercept: float = -1024
    sop_class: str = CTImageStorage
    modality: str = "CT"

    def __post_init__(self):
        self.series, self.study, self.frame_of_reference = generate_uid(), generate_uid(), generate_uid()
        k, r, c = np.meshgrid(np.arange(self.slices), np.arange(self.rows), np.arange(self.columns), indexing="ij")
        self.stored = (1000 + 100 * k + 7 * r + 3 * c).astype(np.uint16)

    @property
    def normal(self):
        return np.cross(self.orientation[:3], self.orientation[3:])

    def position(self, k):
        return np.asarray(self.origin) + k * self.gap * self.normal

    def world(self, column, row, k):
        """RAS+ millimetres of a voxel's centre, by the formula of PS3.3 C.7.6.2.1.1."""
        lps = (
            self.position(k)
            + column * self.spacing[1] * np.asarray(self.orientation[:3])
            + row * self.spacing[0] * np.asarray(self.orientation[3:])
        )
        return lps * [-1, -1, 1]

    def truth(self):
        """(column, row, slice) values."""
        return (self.stored * float(self.slope) + self.intercept).transpose(2, 1, 0)

    def file(self, k, **attributes):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = self.sop_class, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study, self.series
        dataset.FrameOfReferenceUID = self.frame_of_reference
        dataset.PatientID, dataset.PatientName, dataset.Modality = "P-1", "Doe^Jane", self.modality
        dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240102", "101010", "1"
        dataset.AccessionNumber, dataset.SeriesNumber, dataset.InstanceNumber = "", 1, k + 1
        dataset.Manufacturer, dataset.ReferringPhysicianName, dataset.SeriesDescription = "", "", ""
        dataset.AcquisitionNumber = 1
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.ImagePositionPatient = [float(f"{one:.9f}") for one in self.position(k)]
        dataset.ImageOrientationPatient = [float(f"{one:.12f}") for one in self.orientation]
        dataset.PixelSpacing, dataset.SliceThickness = list(self.spacing), self.gap
        dataset.Rows, dataset.Columns = self.rows, self.columns
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.RescaleSlope, dataset.RescaleIntercept = self.slope, self.intercept
        dataset.RescaleType = "HU"
        dataset.PixelData = self.stored[k].tobytes()
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return dataset

    def files(self, **attributes):
        return [self.file(k, **attributes) for k in range(self.slices)]


def enhanced(datasets):
    """A legacy converted enhanced CT of classic files, as highdicom makes it."""
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    return LegacyConvertedEnhancedCTImage(
        legacy_datasets=datasets,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )


def write(folder, datasets):
    """Paths of the datasets, written into a folder in their order."""
    paths = []
    for dataset in datasets:
        path = folder / f"{len(list(folder.iterdir())):04}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def item(**attributes):
    """A sequence of one item."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])
