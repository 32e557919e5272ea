"""What refers to images still does after: segmentations, reports, structure sets."""

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset, Sequence, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from imaging.deidentification import BASIC
from imaging.deidentification.folder import FILES, deidentify

highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")


@pytest.fixture
def series(make_dicom):
    """Three CT slices of a patient."""
    shared = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1, 1],
        "SliceThickness": 5,
        "PatientSex": "F",
        "StudyTime": "101112",
        "AccessionNumber": "A1",
        "StudyID": "7",
        "ReferringPhysicianName": "Roe^Ada",
        "PositionReferenceIndicator": "",
    }
    return [
        make_dicom(**shared, ImagePositionPatient=[0, 0, 5.0 * number], InstanceNumber=number + 1)
        for number in range(3)
    ]


def segmentation(series):
    liver = highdicom.seg.SegmentDescription(
        1, "liver", codes.SCT.AnatomicalStructure, codes.SCT.Liver, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    return highdicom.seg.Segmentation(
        source_images=series,
        pixel_array=np.ones((3, *series[0].pixel_array.shape), np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[liver],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="made",
        manufacturer_model_name="made",
        software_versions="1",
        device_serial_number="1",
    )


def report(series):
    observer = highdicom.sr.ObservationContext(
        observer_person_context=highdicom.sr.ObserverContext(
            codes.DCM.Person, highdicom.sr.PersonObserverIdentifyingAttributes(name="Roe^Ada")
        )
    )
    region = highdicom.sr.ImageRegion(
        highdicom.sr.GraphicTypeValues.POLYLINE,
        np.array([[1.0, 1], [5, 1], [5, 5], [1, 1]]),
        highdicom.sr.SourceImageForRegion(CTImageStorage, series[0].SOPInstanceUID),
    )
    group = highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=highdicom.sr.TrackingIdentifier(generate_uid(), "Doe lesion 1"),
        referenced_region=region,
        finding_type=codes.SCT.Nodule,
    )
    content = highdicom.sr.MeasurementReport(
        observation_context=observer, procedure_reported=codes.LN.CTUnspecifiedBodyRegion, imaging_measurements=[group]
    )
    return highdicom.sr.Comprehensive3DSR(
        evidence=series,
        content=content,
        series_instance_uid=generate_uid(),
        series_number=3,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="made",
    )


def structure_set(series):
    contour = Dataset()
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CTImageStorage, series[1].SOPInstanceUID
    contour.ContourImageSequence = Sequence([image])
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 3
    contour.ContourData = [1, 1, 5, 5, 1, 5, 5, 5, 5]
    roi = Dataset()
    roi.ReferencedROINumber, roi.ContourSequence = 1, Sequence([contour])
    named = Dataset()
    named.ROINumber, named.ROIName = 1, "Liver"
    named.ReferencedFrameOfReferenceUID = series[0].FrameOfReferenceUID
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.PatientName = "RTSTRUCT", "P-1", "Doe^Jane"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = series[0].StudyInstanceUID, generate_uid()
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence([named]), Sequence([roi])
    return dataset


def references(dataset):
    """All UIDs that a file refers to with their attribute."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from references(item)
        elif element.keyword in ("ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID", "FrameOfReferenceUID"):
            yield element.keyword, str(element.value)


@pytest.mark.parametrize("options", [(), ("clean_descriptors", "clean_structured_content", "modified_dates")])
def test_references_lead_to_the_same_images(series, tmp_path, names, profile_with, options):
    (tmp_path / "x").mkdir()
    files = [*series, segmentation(series), report(series), structure_set(series)]
    for number, dataset in enumerate(files):
        dataset.save_as(tmp_path / "x" / f"{number}.dcm", enforce_file_format=True)
    summary = deidentify(tmp_path / "x", tmp_path / "out", profile_with(*options) if options else BASIC, names)
    assert summary.files == 6, summary.quarantined
    after = {path.stem: dcmread(path) for path in (tmp_path / "out" / FILES).iterdir()}
    assert {each.PatientID for each in after.values()} == {names.patient("P-1")}
    assert len({each.StudyInstanceUID for each in after.values()}) == 1
    images = {uid for uid, each in after.items() if each.Modality == "CT"}
    frame = {after[uid].FrameOfReferenceUID for uid in images}
    for before in files[3:]:
        cleaned = after[names.uid(before.SOPInstanceUID)]
        expected = [(keyword, names.uid(uid)) for keyword, uid in references(before)]
        assert expected
        assert set(references(cleaned)) == set(expected), before.Modality
        instances = {uid for keyword, uid in references(cleaned) if keyword == "ReferencedSOPInstanceUID"}
        assert instances <= images
        assert {uid for keyword, uid in references(cleaned) if keyword != "ReferencedSOPInstanceUID"} <= frame
    seg = after[names.uid(files[3].SOPInstanceUID)]
    assert seg.PixelData == files[3].PixelData
    read = highdicom.seg.segread(tmp_path / "out" / FILES / f"{seg.SOPInstanceUID}.dcm")
    assert read.get_source_image_uids()[0][2] in images
    if options:
        sr = highdicom.sr.srread(tmp_path / "out" / FILES / f"{names.uid(files[4].SOPInstanceUID)}.dcm")
        (found,) = sr.content.get_planar_roi_measurement_groups()
        assert found.roi.graphic_type == highdicom.sr.GraphicTypeValues.POLYLINE
        assert "Doe" not in str(sr)
        rt = after[names.uid(files[5].SOPInstanceUID)]
        assert rt.StructureSetROISequence[0].ROIName == "Liver"
