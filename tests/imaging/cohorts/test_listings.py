"""NIfTI volumes and pictures of a listing, from files to what training reads."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from imaging.cohorts.cohort import Cohort
from imaging.cohorts.ingest import ingest
from imaging.cohorts.labelling import BINARY, CodedProperty, Labelling, Outlined, Reported
from imaging.cohorts.listing_source import Listing
from imaging.deidentification import Pseudonyms
from imaging.errors import ImagingError
from imaging.transforms import pipeline

KEY = bytes(range(32))
AFFINE = np.array([[-1.0, 0, 0, 9], [0, 1, 0, 8], [0, 0, 2, 7], [0, 0, 0, 1]])
SHAPE = (12, 10, 9)
PARTS = Labelling(
    format="collegium-labelling/1",
    kind="segmentation",
    classes=("anterior", "posterior"),
    outlined={"anterior": Outlined(numbers=(1,)), "posterior": Outlined(numbers=(2,))},
)


def volume(seed, top=4000):
    return np.random.default_rng(seed).integers(0, top, SHAPE, np.int16)


class Files:
    def __init__(self, root):
        self.root, self.folder = root, root / "files"
        self.folder.mkdir()
        self.rows, self.labels = ["file,patient,mask,spacing"], ["patient,split"]

    def nifti(self, name, array, affine=AFFINE):
        image = nibabel.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, self.folder / name)
        return name

    def ingest(self, labelling=PARTS):
        (self.folder / "listing.csv").write_text("\n".join(self.rows) + "\n")
        (self.root / "labels.csv").write_text("\n".join(self.labels) + "\n")
        summary = ingest(
            Listing(self.folder / "listing.csv"),
            self.root / "labels.csv",
            self.root / "cohort",
            Pseudonyms(KEY),
            KEY,
            "hippocampi",
            labelling=labelling,
        )
        return summary, Cohort.open(self.root / "cohort", KEY)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_nifti_volumes_come_with_their_masks(files):
    array, mask = volume(1), volume(2, 3)
    files.rows.append(f"{files.nifti('a.nii.gz', array)},P-1,{files.nifti('a-mask.nii.gz', mask)},")
    files.labels.append("P-1,train")
    summary, cohort = files.ingest()
    assert summary.images == 1
    assert "pixels.no_header" in summary.warnings
    found, affine, learned = cohort.patients("train")[0].load(0)
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(learned, mask)
    np.testing.assert_allclose(affine, AFFINE)


def test_what_does_not_fit_is_put_aside_by_name(files):
    four = files.nifti("four.nii", np.stack([volume(3), volume(4)], axis=-1))
    shifted = files.nifti(
        "shifted.nii", volume(5, 3), AFFINE + np.eye(4)[:, ::-1] * [[0, 0, 0, 0.4]] * [[1], [0], [0], [0]]
    )
    files.rows += [
        f"{four},P-1,{files.nifti('m1.nii', volume(2, 3))},",
        f"{files.nifti('b.nii', volume(6))},P-2,{shifted},",
        f"{files.nifti('c.nii', volume(7))},P-3,,",
        f"{files.nifti('d.nii', volume(8))},P-4,{files.nifti('m4.nii', volume(2, 3))},1 1 3",
        f"{files.nifti('e.nii', volume(9))},P-5,{files.nifti('m5.nii', volume(2, 4))},",
        f"{files.nifti('f.nii', volume(10))},P-6,{files.nifti('m6.nii', volume(2, 3))},1 1 2",
    ]
    files.labels += [f"P-{number},train" for number in range(1, 7)]
    summary, _ = files.ingest()
    assert summary.patients == 1
    assert dict(summary.quarantined) == {
        "listing.several_volumes": 1,
        "listing.spacing_contradicts": 1,
        "mask.geometry": 1,
        "mask.missing": 1,
        "mask.value": 1,
    }


def test_pictures_come_with_the_masks_drawn_on_them(files):
    random = np.random.default_rng(1)
    pixels, drawn = random.integers(0, 255, (20, 16), np.uint8), random.integers(0, 3, (20, 16), np.uint8)
    for name, array in {
        "a": pixels,
        "a-mask": drawn,
        "b": pixels[::-1],
        "b-mask": drawn.T,
        "c": pixels[:, ::-1],
        "c-mask": drawn + 1,
        "d": pixels // 2,
        "d-mask": np.full((20, 16), 2, np.uint16),
        "f": pixels // 3,
        "f-mask": np.stack([drawn] * 3, axis=-1),
    }.items():
        Image.fromarray(np.ascontiguousarray(array)).save(files.folder / f"{name}.png")
    files.rows += [f"{name}.png,P-{name},{name}-mask.png," for name in "abcdf"]
    flat = files.nifti("flat.nii", drawn[:, :, None])
    Image.fromarray(pixels // 4).save(files.folder / "e.png")
    files.rows.append(f"e.png,P-e,{flat},")
    files.labels += [f"P-{name},train" for name in "abcdef"]
    summary, cohort = files.ingest()
    assert dict(summary.quarantined) == {
        "dicom.colour": 1,
        "mask.geometry": 1,
        "mask.two_dimensional": 1,
        "mask.value": 1,
    }
    assert summary.warnings["mask.class_empty"] == 1  # all of d is one class, which a picture may not be and a mask may
    found = {masks.tobytes(): array for array, _, masks in (p.load(0) for p in cohort.patients("train"))}
    np.testing.assert_array_equal(found[drawn.tobytes()], pixels)
    np.testing.assert_array_equal(found[np.full((20, 16), 2, np.uint8).tobytes()], pixels // 2)
    chain = pipeline.build([("resize", {"size": [10, 8]}), ("standardise", {})], 2)
    image, mask = chain.pair(pixels, None, drawn)
    assert image.shape == (1, 10, 8)
    assert mask.shape == (10, 8)
    assert set(np.unique(mask)) <= {0, 1, 2}


def test_a_listing_has_no_reports(files):
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (20, 16), np.uint8)).save(files.folder / "a.png")
    files.rows.append("a.png,P-1,,")
    files.labels.append("P-1,train")
    millimetres = Reported(
        name=CodedProperty(value="81827009", scheme="SCT"), unit=CodedProperty(value="mm", scheme="UCUM")
    )
    with pytest.raises(ImagingError) as caught:
        files.ingest(Labelling(format="collegium-labelling/1", kind="regression", reported=millimetres))
    assert caught.value.code == "listing.no_reports"
    assert not (files.root / "cohort").exists()


def test_pictures_take_labels_and_the_spacing_of_the_listing(files):
    pixels = np.random.default_rng(1).integers(0, 255, (20, 16), np.uint8)
    Image.fromarray(pixels).save(files.folder / "a.png")
    files.rows.append("a.png,P-1,,0.5 0.25")
    files.labels = ["patient,label,split", "P-1,1,test"]
    _, cohort = files.ingest(BINARY)
    image = cohort.patients("test")[0].images[0]
    assert (image.label, image.read().volume.manifest.spacing) == (1, (0.5, 0.25))
    np.testing.assert_array_equal(image.read().volume.array, pixels)
