"""Masks on volumes as `imaging.volumes` reads them: the same voxels, whatever order the slices were stored in."""

import numpy as np
import pytest

from imaging.labels import contours, segmentation
from imaging.labels.mask import LPS, Grid
from imaging.labels.selection import ClassRule
from imaging.volumes import read

ORGAN = ClassRule("organ", labels=("Liver",))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("oblique", [False, True])
def test_what_was_drawn_on_bright_voxels_lies_on_bright_voxels(scan, oblique, backwards):
    made = scan(oblique=oblique)
    bright = np.zeros(made.shape, dtype=np.uint16)
    bright[2:8, 3:7, 1:5] = 1000
    bright[4:6, 4:6, 2:4] = 0
    order = list(enumerate(made.slices))
    for position, (plane, dataset) in enumerate(reversed(order) if backwards else order):
        dataset.PixelData = bright[:, :, plane].T.tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        made.save(dataset, f"{position}.dcm")
    reading = read(sorted(made.folder.glob("?.dcm")))
    assert reading.rejected == ()
    (source,) = reading.volumes
    grid = Grid.of(source)
    rings = [
        [(low[0], low[1], plane), (high[0], low[1], plane), (high[0], high[1], plane), (low[0], high[1], plane)]
        for plane in range(1, 5)
        for low, high in [((1.5, 2.5), (7.5, 6.5)), *([((3.5, 3.5), (5.5, 5.5))] if plane in (2, 3) else [])]
    ]
    for mask in (
        segmentation.read(made.segment((bright > 0).astype(np.uint8), ["Liver"]), [ORGAN], grid),
        contours.read(made.outline([("Liver", rings)]), [ORGAN], grid),
    ):
        np.testing.assert_array_equal(mask.array, source.volume.array > 0)
        assert mask.warnings == ()


def test_the_last_axis_of_a_volume_is_the_one_across_slices(scan):
    made = scan()
    for position, dataset in enumerate(made.slices):
        dataset.PixelData = np.full(made.shape[1::-1], 100 * position, dtype=np.uint16).tobytes()
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        made.save(dataset, f"{position}.dcm")
    (source,) = read(sorted(made.folder.glob("?.dcm"))).volumes
    across = (LPS @ source.volume.affine)[:3, 2]
    np.testing.assert_allclose(np.abs(across), [0, 0, made.spacing[2]], atol=1e-9)
