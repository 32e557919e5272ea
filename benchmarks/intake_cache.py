"""What the volume cache saves: a made JPEG 2000 CT is decoded in the first epoch and opened sealed in the second.

Called by `benchmarks.intake`; `measure` alone gives the numbers of this part. Both epochs read from warm disk
caches of the system, so that what is compared is work: hashing, decoding, rescaling and sealing on one side,
opening the sealed volume on the other.
"""

import json
import tempfile
from pathlib import Path
from secrets import token_bytes
from time import perf_counter

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from imaging.volumes import Volume, decode, scan
from imaging.volumes.cache import VolumeCache

SLICES = 60
SIDE = 512
MIN_GAIN = 10.0


def measure(slices: int = SLICES) -> dict[str, float | int | bool]:
    """Seconds of two epochs over one made CT series of 512 x 512 slices, and what the cache takes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _series(Path(folder), slices)
        cache = VolumeCache(Path(folder) / "cache", token_bytes(32))
        start = perf_counter()
        (stack,) = scan(paths).stacks
        scanned = perf_counter()
        first = cache.volume(stack.digest, {}, lambda: decode(stack).volume)
        filled = perf_counter()
        second = cache.volume(stack.digest, {}, _never)
        opened = perf_counter()
        if not np.array_equal(first.array, second.array):
            raise RuntimeError("the cache gave another volume")
        size = sum(path.stat().st_size for path in (Path(folder) / "cache").iterdir())
    first_epoch, second_epoch = filled - scanned, opened - filled
    return {
        "slices": slices,
        "scan_seconds": round(scanned - start, 3),
        "first_epoch_seconds": round(first_epoch, 3),
        "second_epoch_seconds": round(second_epoch, 4),
        "gain": round(first_epoch / second_epoch, 1),
        "reached": first_epoch >= MIN_GAIN * second_epoch,
        "cache_bytes": size,
    }


def _series(folder: Path, slices: int) -> list[Path]:
    """A noisy cylinder in air, as CT slices in lossless JPEG 2000."""
    generator = np.random.default_rng(5)
    down, across = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    body = np.where(np.hypot(down, across) < 0.4 * SIDE, 1064, 24)
    series, study, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    paths = []
    for index in range(slices):
        stored = np.clip(body + generator.normal(0, 20, body.shape), 0, 4095).astype(np.uint16)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.PatientID = series, study, "made"
        dataset.FrameOfReferenceUID, dataset.Modality = frame_of_reference, "CT"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 1.5 * index], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.Rows, dataset.Columns = [0.7, 0.7], SIDE, SIDE
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = stored.tobytes()
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        paths.append(folder / f"{index:04}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def _never() -> Volume:
    raise RuntimeError("the volume was decoded a second time")


if __name__ == "__main__":
    print(json.dumps(measure()))
