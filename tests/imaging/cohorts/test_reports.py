"""Labels that structured reports give: of the series that they refer to, from a folder to a cohort."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from imaging.cohorts.labelling import CodedClass, CodedProperty, Labelling, Outlined, Reported
from tests.imaging.cohorts.test_volumes import SLICES, Archive
from tests.imaging.labels.test_measurements import HIGH, LOW, PydicomCode, group, written

NAME = CodedProperty(value="G1", scheme="99MADE")
MM = CodedProperty(value="mm", scheme="UCUM")
NODULE = CodedProperty(value=codes.SCT.Nodule.value, scheme="SCT")


def value(code, means):
    return CodedClass(value=code, scheme="99MADE", means=means)


GRADES = Labelling(
    format="collegium-labelling/1",
    kind="multi_class_classification",
    classes=("low", "high"),
    reported=Reported(name=NAME, values=(value("L", "low"), value("H", "high"))),
)
DIAMETER = Labelling(
    format="collegium-labelling/1",
    kind="regression",
    reported=Reported(name=CodedProperty(value="81827009", scheme="SCT"), unit=MM, finding=NODULE),
)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


def labels(cohort, split="train"):
    return sorted(patient.label(0) for patient in cohort.patients(split))


def test_a_coded_value_becomes_the_class_of_the_series_that_it_is_of(archive):
    for patient, grade in (("P-1", HIGH), ("P-2", LOW), ("P-3", HIGH)):
        written(archive.scan(patient), [group(grade=grade)])
    summary, cohort = archive.ingest(GRADES)
    assert (summary.patients, summary.images, summary.quarantined) == (3, 3, {})
    assert labels(cohort) == [0, 1, 1]
    assert cohort.classes == ("low", "high")


def test_a_binary_label_and_a_measurement_of_a_finding(archive):
    written(archive.scan("P-1"), [group(grade=HIGH, diameter=12.5), group(codes.SCT.Mass, diameter=40.0)])
    said = Reported(name=NAME, values=(value("L", "0"), value("H", "1")))
    binary = Labelling(format="collegium-labelling/1", kind="binary_classification", reported=said)
    assert labels(archive.ingest(binary)[1]) == [1]
    (archive.root / "cohort").rename(archive.root / "earlier")
    assert labels(archive.ingest(DIAMETER)[1]) == [12.5]


def test_series_without_one_clear_answer_are_put_aside_by_name(archive):
    written(archive.scan("P-1"), [group(grade=LOW)])
    archive.scan("P-2")  # no report
    written(archive.scan("P-3"), [group(diameter=3.0)])  # one that does not say it
    twice = archive.scan("P-4")
    written(twice, [group(grade=LOW)], "a.dcm-report")
    written(twice, [group(grade=LOW)], "b.dcm-report")
    written(archive.scan("P-5"), [group(grade=LOW), group(grade=HIGH)])
    written(archive.scan("P-6"), [group(grade=PydicomCode("X", "99MADE", "unknown"))])
    damaged = written(archive.scan("P-7"), [group(grade=LOW)])
    dataset = dcmread(damaged)
    del dataset.ContentSequence[-1].ContentSequence
    dataset.ContentTemplateSequence[0].TemplateIdentifier = "2000"  # a report of another kind
    dataset.save_as(damaged)
    summary, cohort = archive.ingest(GRADES)
    assert labels(cohort) == [0]
    assert summary.quarantined == {
        "report.missing": 3 * SLICES,
        "report.several": SLICES,
        "report.two_values": SLICES,
        "report.value": SLICES,
    }


def test_a_report_is_of_the_images_of_its_own_study_and_patient(archive):
    """What is said of another patient's series, or in a later study of an earlier one, is not its label."""
    first, second = archive.scan("P-1"), archive.scan("P-2")
    written(first, [group(grade=HIGH)])
    path = written(first, [group(grade=LOW)], "moved")
    moved = dcmread(path)
    moved.PatientID = "P-2"
    moved.save_as(second.folder / "moved")
    later = dcmread(path)
    later.StudyInstanceUID, later.SOPInstanceUID = generate_uid(), generate_uid()
    later.file_meta.MediaStorageSOPInstanceUID = later.SOPInstanceUID
    later.save_as(path)
    summary, cohort = archive.ingest(GRADES)
    assert labels(cohort) == [1]
    assert summary.quarantined == {"report.missing": SLICES}


def test_two_series_have_the_answers_of_their_own_reports(archive):
    one = archive.scan("P-1")
    archive.rows = ["patient,split", "P-1,train"]
    folder = archive.folder / "more"
    folder.mkdir()
    other = type(one)(folder)
    for number, dataset in enumerate(other.slices):
        values = np.random.default_rng([9, number]).integers(0, 4000, (dataset.Rows, dataset.Columns), np.uint16)
        dataset.PixelData, dataset.ImageType = values.tobytes(), ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.StudyInstanceUID = -1024, 1, one.study
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    written(one, [group(grade=LOW)])
    written(other, [group(grade=HIGH)])
    summary, cohort = archive.ingest(GRADES)
    assert summary.images == 2
    (patient,) = cohort.patients("train")
    assert sorted(patient.label(image) for image in range(2)) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "said", "more"),
    [
        ("regression", Reported(name=NAME), {}),
        ("regression", Reported(name=NAME, unit=MM, values=(value("L", "0"),)), {}),
        ("binary_classification", Reported(name=NAME, values=(value("L", "0"),)), {}),
        ("binary_classification", Reported(name=NAME, values=(value("L", "0"), value("L", "1"))), {}),
        ("binary_classification", Reported(name=NAME, unit=MM, values=(value("L", "0"), value("H", "1"))), {}),
        ("multi_class_classification", Reported(name=NAME, values=(value("L", "a"),)), {"classes": ("a", "b")}),
        ("multi_label_classification", Reported(name=NAME, values=(value("L", "a"),)), {"classes": ("a",)}),
        (
            "segmentation",
            Reported(name=NAME, values=(value("L", "a"),)),
            {"classes": ("a",), "outlined": {"a": Outlined(numbers=(1,))}},
        ),
    ],
)
def test_a_labelling_that_contradicts_itself_is_refused(kind, said, more):
    with pytest.raises(ValueError, match="reported"):
        Labelling(format="collegium-labelling/1", kind=kind, reported=said, **more)
