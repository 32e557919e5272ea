import numpy as np
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from imaging.errors import ImagingError
from imaging.labels.mask import LPS, Grid

COLUMNS, ROWS, SLICES = 12, 10, 6


def geometry(oblique):
    """Unit vectors of columns, rows and slices, LPS."""
    if not oblique:
        return np.eye(3)
    a, b = np.deg2rad([20, 35])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])


class Scan:
    """A made CT: its slices as datasets, its grid, and label files drawn on it."""

    def __init__(self, folder, oblique=False, shape=(COLUMNS, ROWS, SLICES), spacing=(0.75, 1.5, 4.0)):
        self.folder, self.shape, self.frame = folder, shape, generate_uid()
        self.study, self.series = generate_uid(), generate_uid()
        self.axes, self.spacing = geometry(oblique), np.array(spacing)
        self.origin = np.array([-31.5, 12.25, 101.0])
        self.lps = np.eye(4)
        self.lps[:3, :3], self.lps[:3, 3] = self.axes * self.spacing, self.origin
        self.grid = Grid(shape, LPS @ self.lps, self.frame)
        self.slices = [self._slice(k) for k in range(shape[2])]

    def points(self, voxels):
        """Voxel coordinates (n, 3) as LPS millimetres."""
        return np.asarray(voxels, dtype=float) @ self.lps[:3, :3].T + self.lps[:3, 3]

    def _slice(self, k):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study, self.series
        dataset.FrameOfReferenceUID, dataset.Modality, dataset.PatientID = self.frame, "CT", "P-1"
        dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "Doe^Jane", "19700203", "F"
        dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber, dataset.StudyID = "20240506", "070809", "A1", "1"
        dataset.ReferringPhysicianName, dataset.Manufacturer, dataset.SeriesNumber = "", "made", 1
        dataset.InstanceNumber, dataset.Rows, dataset.Columns = k + 1, self.shape[1], self.shape[0]
        dataset.ImagePositionPatient = [float(f"{value:.9f}") for value in self.points([[0, 0, k]])[0]]
        dataset.ImageOrientationPatient = [float(f"{v:.12f}") for v in [*self.axes[:, 0], *self.axes[:, 1]]]
        dataset.PixelSpacing = [self.spacing[1], self.spacing[0]]
        dataset.SliceThickness = self.spacing[2]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.PixelData = bytes(2 * self.shape[0] * self.shape[1])
        return dataset

    def segment(self, array, labels, kind="BINARY", slices=None, types=None, **more):
        """A SEG file of an array (columns, rows, slices[, segments])."""
        frames = np.moveaxis(array, (2, 1, 0), (0, 1, 2))
        descriptions = [
            SegmentDescription(
                number,
                label,
                codes.SCT.Organ,
                (types or {}).get(label, codes.SCT.Liver),
                "MANUAL",
            )
            for number, label in enumerate(labels, start=1)
        ]
        made = Segmentation(
            slices or self.slices,
            np.ascontiguousarray(frames),
            kind,
            descriptions,
            generate_uid(),
            2,
            generate_uid(),
            1,
            "made",
            "made",
            "1",
            "1",
            **more,
        )
        return self.save(made, "labels.dcm")

    def outline(self, regions, frame=None, kind="CLOSED_PLANAR"):
        """An RTSTRUCT of [(name, [contours in voxel coordinates])]."""
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = RTStructureSetStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.PatientID, dataset.StudyInstanceUID = "P-1", self.study
        dataset.SeriesInstanceUID = generate_uid()
        dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
        for number, (name, contours) in enumerate(regions, start=1):
            region, item = Dataset(), Dataset()
            region.ROINumber, region.ROIName = number, name
            region.ReferencedFrameOfReferenceUID = frame or self.frame
            item.ReferencedROINumber, item.ContourSequence = number, []
            for contour in contours:
                drawn = Dataset()
                drawn.ContourGeometricType = kind
                drawn.NumberOfContourPoints = len(contour)
                drawn.ContourData = [f"{value:.9g}" for value in self.points(contour).reshape(-1)]
                item.ContourSequence.append(drawn)
            dataset.StructureSetROISequence.append(region)
            dataset.ROIContourSequence.append(item)
        return self.save(dataset, "outlines.dcm")

    def save(self, dataset, name):
        path = self.folder / name
        dataset.save_as(path, enforce_file_format=True)
        return path


@pytest.fixture
def scan(tmp_path):
    def make(**more):
        return Scan(tmp_path, **more)

    return make


@pytest.fixture
def refusal():
    """What a reader says against a file, empty if it takes it; any other error fails the test."""

    def refusal(read):
        try:
            read()
        except ImagingError as error:
            return str(error)
        return ""

    return refusal
