"""What is put into the archives, and what of it came back."""

from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

MIXED = ("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm")


class Archive:
    """What was put into the archives: a patient with a mixed series, one with two plain ones, one with a CT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.series = 0
        # Orthanc sends in the order of arrival, and says 500 where the first image is one that it cannot transcode.
        self.mixed = self.add("MIXED", [name for name in MIXED for _ in range(2)])
        self.plain = self.add("PLAIN", ["MR_small.dcm"] * 3) + self.add("PLAIN", ["MR_small.dcm"] * 2)
        self.ct = self.add("SCANNED", ["CT_small.dcm"])

    def add(self, patient, names):
        self.series += 1
        study, series = (generate_uid(entropy_srcs=[what, str(self.series)]) for what in ("study", "series"))
        made = []
        for number, name in enumerate(names, start=1):
            uid = generate_uid(entropy_srcs=[series, str(number)])
            dataset = dcmread(get_testdata_file(name))
            dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = patient, study, series
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
            dataset.InstanceNumber, dataset.SeriesDescription = number, f"axial {patient.lower()}"
            path = self.folder / f"{dataset.SOPInstanceUID}.dcm"
            dataset.save_as(path)
            made.append(path)
        return made

    def files(self):
        return self.mixed + self.plain + self.ct


def pixels(folder):
    return sorted(dcmread(path).PixelData for path in Path(folder).rglob("*.dcm"))


def sent(paths):
    return sorted(dcmread(path).PixelData for path in paths)
