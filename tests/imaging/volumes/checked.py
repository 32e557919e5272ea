"""What tests ask of a reading: where voxels lie, and why files were put aside."""

import numpy as np


def check_geometry(source, series):
    affine, (columns, rows, slices) = source.volume.affine, source.volume.array.shape
    for column, row, k in [(0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0), (0, 0, slices - 1), (3, 2, 1)]:
        np.testing.assert_allclose((affine @ [column, row, k, 1])[:3], series.world(column, row, k), atol=1e-5)


def codes(reading):
    return [one.rejection for one in reading.rejected]
