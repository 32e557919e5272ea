"""Each code on an image that was made for it, and not on a sound one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imaging.cohorts import quality
from imaging.volumes.manifest import Manifest
from imaging.volumes.volume import Volume

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "warnings.md"


def volume(array=None, affine=None, **said):
    """A sound CT, or what became of it; the affine has the manifest's spacing where it is not given."""
    array = sound() if array is None else array
    manifest = Manifest(
        source="dicom",
        modality="CT",
        shape=array.shape,
        dtype=array.dtype.name,
        spacing=(1.5, 1.5, 3.0)[: array.ndim],
        spacing_source="patient",
        orientation="LPS",
        photometric="as stored",
        rescale="linear",
        decoders=(),
        syntaxes=(),
        lossy=False,
        part=(),
        files=1,
        source_digest="",
        unit="HU",
    )
    manifest = replace(manifest, **said)
    if affine is None:
        affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    return Volume(array, None if affine is False else affine, manifest)


def sound(shape=(40, 36, 20)):
    """Air around something that is neither flat nor clipped."""
    array = np.random.default_rng(1).integers(-1024, -950, shape).astype(np.int16)
    inside = tuple(slice(side // 8, -(side // 8)) for side in shape)
    array[inside] = np.random.default_rng(2).integers(-100, 900, array[inside].shape)
    return array


def changed(change):
    array = sound()
    change(array)
    return array


def turned(degrees):
    radians = np.radians(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]
    return affine


def flat(array):
    array[:, :, 9] = -1000


def repeat(array):
    array[:, :, 9] = array[:, :, 8]


def pad(array):
    """Slices of one value at both ends, as of a volume that was padded."""
    array[:, :, :3] = array[:, :, -3:] = -1024


FAULTY = {
    quality.CLIPPED: volume(sound().clip(-1024, 200)),
    quality.HU_RANGE: volume((sound() + 1024).astype(np.uint16)),
    quality.UNIT: volume(unit="OD"),
    quality.FEW_VALUES: volume((sound() > 0) * np.int16(3) - 1000),
    quality.CONSTANT_SLICE: volume(changed(flat)),
    quality.REPEATED_SLICE: volume(changed(repeat)),
    quality.INVERTED: volume(photometric="inverted"),
    quality.LOSSY: volume(lossy=True),
    quality.FEW_SLICES: volume(sound()[:, :, 8:12]),
    quality.COARSE: volume(spacing=(0.5, 0.5, 6.0)),
    quality.NO_SPACING: volume(spacing=None),
    quality.SPACING: volume(spacing=(25.0, 25.0, 25.0)),
    quality.FIELD_OF_VIEW: volume(spacing=(0.2, 0.2, 0.2)),
    quality.NO_ORIENTATION: volume(affine=False),
    quality.OBLIQUE: volume(affine=turned(21)),
}


def test_a_sound_image_has_no_code():
    assert quality.check(volume()) == ()
    assert quality.check(volume(affine=turned(-19))) == ()
    assert quality.check(volume(sound((64, 48)), spacing=(0.3, 0.3), modality="DX", affine=False)) == ()
    assert quality.check(volume(sound((64, 48)), spacing=None, modality=None, affine=False)) == ()


def test_every_code_has_an_image_here():
    assert set(FAULTY) == {code for code in quality.SENTENCES if code.startswith("quality.")}


@pytest.mark.parametrize("code", FAULTY)
def test_an_image_with_this_fault_has_its_code(code):
    beside = {quality.NO_SPACING: set(), quality.FEW_VALUES: {quality.HU_RANGE, quality.CLIPPED}}
    found = set(quality.check(FAULTY[code]))
    assert code in found
    assert found <= {code} | beside.get(code, set())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_looked_at_along_each_axis(axis):
    for change, code in ((flat, quality.CONSTANT_SLICE), (repeat, quality.REPEATED_SLICE)):
        array = np.ascontiguousarray(np.moveaxis(changed(change), 2, axis))
        assert code in quality.check(volume(array, affine=np.eye(4), spacing=(2.0, 2.0, 2.0)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_voxel_that_the_probe_misses_makes_a_slice_a_slice(axis):
    array = np.random.default_rng(1).integers(-1000, 900, (80, 80, 80)).astype(np.int16)
    array[:, :, 30] = array[:, :, 50] = -1000
    array[1, 1, 30] = array[3, 3, 50] = 7
    array[:, :, 61] = array[:, :, 60]
    array[5, 5, 61] += 1
    array = np.ascontiguousarray(np.moveaxis(array, 2, axis))
    assert quality.check(volume(array, affine=np.eye(4), spacing=(2.0, 2.0, 2.0))) == ()


def test_padding_at_the_ends_is_no_fault():
    assert quality.check(volume(changed(pad))) == ()


def test_a_ct_without_anything_dense_has_another_scale():
    assert quality.check(volume((sound() - 1024).astype(np.int16))) == (quality.HU_RANGE,)
    assert quality.HU_RANGE not in quality.check(volume((sound() + 1024).astype(np.uint16), modality="MR"))


def test_few_values_among_many_voxels_are_found_and_a_rare_one_is_no_reason():
    array = np.zeros((80, 80, 80), np.int16)
    array[::2] = 1
    assert quality.FEW_VALUES in quality.check(volume(array))
    array = array.copy()
    array.reshape(-1)[1:400:20] = np.arange(20)  # where the probe does not look
    assert quality.FEW_VALUES not in quality.check(volume(array))


def test_the_page_lists_every_code():
    table = "".join(f"| `{code}` | {sentence} |\n" for code, sentence in quality.SENTENCES.items())
    assert PAGE.read_text("utf-8").split("|---|---|\n")[1] == table
