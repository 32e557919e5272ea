import numpy as np
import pytest
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import generate_uid

from imaging.errors import ImagingError
from imaging.labels import measurements
from imaging.labels.measurements import Evaluation, Measurement
from imaging.labels.selection import Code

GRADE = PydicomCode("G1", "99MADE", "grade")
LOW, HIGH = PydicomCode("L", "99MADE", "low"), PydicomCode("H", "99MADE", "high")
ASKED = Evaluation(Code("G1", "99MADE"), {Code("L", "99MADE"): 0, Code("H", "99MADE"): 1})
DIAMETER = Measurement(Code("81827009", "SCT"), Code("mm", "UCUM"))


def group(finding=codes.SCT.Nodule, grade=None, diameter=None, unit=codes.UCUM.Millimeter):
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier="Doe^Jane"),
        finding_type=finding,
        measurements=[] if diameter is None else [sr.Measurement(codes.SCT.Diameter, diameter, unit)],
        qualitative_evaluations=[] if grade is None else [sr.QualitativeEvaluation(GRADE, grade)],
    )


def written(made, groups, name="report.dcm"):
    """A report on a made scan."""
    context = sr.ObservationContext(
        observer_person_context=sr.ObserverContext(codes.DCM.Person, sr.PersonObserverIdentifyingAttributes("Roe^Ada"))
    )
    content = sr.MeasurementReport(context, codes.LN.CTUnspecifiedBodyRegion, groups)
    document = sr.ComprehensiveSR(
        evidence=made.slices,
        content=content[0],
        series_number=3,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="made",
    )
    return made.save(document, name)


@pytest.fixture
def report(scan):
    made = scan()

    def report(*groups):
        return written(made, groups)

    report.scan = made
    return report


def test_a_coded_value_is_a_class(report):
    read = measurements.read(report(group(), group(grade=HIGH)), ASKED)
    assert read.value == 1
    assert read.reference.series == {report.scan.series}
    assert "Doe" not in repr(read)
    assert "P-1" not in repr(read)


def test_a_measurement_is_a_number(report):
    assert measurements.read(report(group(diameter=12.5), group(grade=LOW)), DIAMETER).value == 12.5


def test_what_is_not_said_is_no_label(report):
    path = report(group(grade=LOW))
    assert measurements.read(path, DIAMETER).value is None
    assert measurements.read(path, Evaluation(Code("G2", "99MADE"), ASKED.classes)).value is None


def test_only_groups_of_the_finding_count(report):
    path = report(group(grade=LOW), group(codes.SCT.Mass, grade=HIGH))
    nodule = codes.SCT.Nodule
    asked = Evaluation(ASKED.name, ASKED.classes, Code(nodule.value, nodule.scheme_designator))
    assert measurements.read(path, asked).value == 0


@pytest.mark.parametrize(
    ("groups", "asked", "code"),
    [
        ([group(grade=LOW), group(grade=HIGH)], ASKED, "report.two_values"),
        ([group(diameter=1.0), group(diameter=2.0)], DIAMETER, "report.two_values"),
        ([group(grade=PydicomCode("X", "99MADE", "Doe"))], ASKED, "report.value"),
        ([group(diameter=1.0, unit=codes.UCUM.Centimeter)], DIAMETER, "report.unit"),
    ],
)
def test_what_cannot_be_one_label_is_refused(report, groups, asked, code):
    with pytest.raises(ImagingError) as caught:
        measurements.read(report(*groups), asked)
    assert caught.value.code == code
    assert "Doe" not in str(caught.value)


def test_other_and_damaged_files_are_refused(report, refusal):
    data = report(group(grade=LOW)).read_bytes()
    path = report.scan.folder / "damaged.dcm"
    random = np.random.default_rng(11)
    for _ in range(60):
        altered = bytearray(data)
        for position in random.integers(0, len(altered), 4):
            altered[position] = random.integers(256)
        path.write_bytes(altered)
        assert "Doe" not in refusal(lambda: measurements.read(path, ASKED))
    with pytest.raises(ImagingError) as caught:
        measurements.read(report.scan.save(report.scan.slices[0], "image.dcm"), ASKED)
    assert caught.value.code == "label_file.kind"
