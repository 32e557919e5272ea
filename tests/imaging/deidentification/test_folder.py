import csv
import json
import logging
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from benchmarks import deidentification as benchmark
from benchmarks.deidentification_studies import studies
from imaging.deidentification import BASIC, PseudonymTable
from imaging.deidentification.folder import FILES, QUARANTINE_PATHS, SUMMARY, deidentify
from imaging.deidentification.pixels import review
from imaging.deidentification.profile import PixelPolicy
from imaging.deidentification.rejection import Quarantine, Quarantined
from imaging.errors import ImagingError


@pytest.fixture
def archive(make_dicom, encoded, tmp_path):
    """Two images of Jane Doe (one of her head), one of John Roe, and files that cannot be used."""
    folder = tmp_path / "Doe^Jane"
    (folder / "deep").mkdir(parents=True)
    first = make_dicom(StudyInstanceUID="1.2.3.4")
    head = make_dicom(StudyInstanceUID="1.2.3.4", SOPClassUID=CTImageStorage, Modality="CT", BodyPartExamined="HEAD")
    other = make_dicom(PatientID="R-2", PatientName="Roe^John")
    for name, dataset in (("a.dcm", first), ("deep/b", head), ("c.dcm", other)):
        (folder / name).write_bytes(encoded(dataset))
    (folder / "again.dcm").write_bytes(encoded(first))
    (folder / "no-patient.dcm").write_bytes(encoded(make_dicom(PatientID="")))
    (folder / "screen.dcm").write_bytes(encoded(make_dicom(SOPClassUID=SecondaryCaptureImageStorage)))
    (folder / "burned.dcm").write_bytes(encoded(make_dicom(BurnedInAnnotation="YES")))
    (folder / "notes.txt").write_text("Jane Doe")
    (folder / "link").symlink_to(folder / "a.dcm")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / FILES).iterdir())}


def test_every_file_is_written_or_listed(archive, tmp_path, names):
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    seen = []
    summary = deidentify(archive, tmp_path / "out", BASIC, names, lambda done, files: seen.append((done, files)))
    assert (summary.files, summary.patients, summary.visual_features_not_cleaned) == (3, 2, 1)
    assert summary.quarantined == {
        "dicom.no_patient": 1,
        "dicom.not_dicom": 1,
        "duplicate.instance": 1,
        "file.not_regular": 1,
        "pixels.burned_in": 1,
        "pixels.sop_class": 1,
    }
    assert seen[-1] == (9, 9)
    assert {path: path.read_bytes() for path in before} == before
    assert set(contents(tmp_path / "out")) == {
        f"{names.uid(dcmread(archive / name).SOPInstanceUID)}.dcm" for name in ("a.dcm", "deep/b", "c.dcm")
    }
    with (tmp_path / "out" / QUARANTINE_PATHS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} >= {"notes.txt", "link"}
    assert stat.S_IMODE((tmp_path / "out" / QUARANTINE_PATHS).stat().st_mode) == 0o600


def test_nothing_but_the_owners_list_names_a_patient_or_path(archive, tmp_path, names, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    uids = {dcmread(archive / name).SOPInstanceUID for name in ("a.dcm", "deep/b", "c.dcm")}
    deidentify(archive, tmp_path / "out", BASIC, names)
    (tmp_path / "out" / QUARANTINE_PATHS).unlink()
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    said = written.decode("latin-1") + caplog.text + "".join(capsys.readouterr())
    for secret in ("Jane", "Doe", "Roe", "P-1", "R-2", "19700203", "1.2.3.4", "no-patient", *uids):
        assert secret not in said


def test_a_head_is_marked_or_put_aside(archive, tmp_path, names, profile_with):
    deidentify(archive, tmp_path / "out", BASIC, names)
    marked = [dcmread(path) for path in (tmp_path / "out" / FILES).iterdir()]
    assert [each.Modality for each in marked if "visual features not cleaned" in each.DeidentificationMethod] == ["CT"]
    strict = profile_with(pixels=PixelPolicy(faces="quarantine"))
    assert deidentify(archive, tmp_path / "strict", strict, names).quarantined["pixels.face"] == 1


def test_every_code_is_explained():
    page = (Path(__file__).parents[3] / "docs/explanation/deidentification.md").read_text()
    for quarantine in Quarantine:
        assert f"| `{quarantine}` | {Quarantined(quarantine)} |" in page


def test_two_runs_give_the_same_files(archive, tmp_path, names, profile_with):
    profile = profile_with("modified_dates", "clean_descriptors")
    for run in ("one", "two"):
        deidentify(archive, tmp_path / run, profile, names)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert (tmp_path / "one" / SUMMARY).read_bytes() == (tmp_path / "two" / SUMMARY).read_bytes()


def test_a_table_gives_the_same_names_in_a_later_run(archive, tmp_path):
    for run in ("one", "two"):
        table = PseudonymTable(tmp_path / "names.sqlite")
        deidentify(archive, tmp_path / run, BASIC, table)
        table.close()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_output_is_never_overwritten_and_never_inside_the_source(archive, tmp_path, names):
    (tmp_path / "out").mkdir()
    for output, code in ((tmp_path / "out", "deidentify.exists"), (archive / "out", "deidentify.source")):
        with pytest.raises(ImagingError) as caught:
            deidentify(archive, output, BASIC, names)
        assert caught.value.code == code
    with pytest.raises(ImagingError):
        deidentify(tmp_path / "absent", tmp_path / "new", BASIC, names)
    assert not (tmp_path / "new").exists()


def test_a_disk_that_refuses_leaves_nothing(archive, tmp_path, names, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imaging.deidentification.folder._write", refuse)
    with pytest.raises(ImagingError) as caught:
        deidentify(archive, tmp_path / "out", BASIC, names)
    assert caught.value.code == "deidentify.storage"
    assert "Jane" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Doe^Jane"]


def test_sheets_show_every_image_and_a_decision_is_bound_to_them(archive, tmp_path, names):
    out = tmp_path / "out"
    deidentify(archive, out, BASIC, names)
    with pytest.raises(ImagingError) as caught:
        review.decide(out, "Ada Roe", "accepted")
    assert caught.value.code == "review.no_sheets"
    page = review.make_sheets(out)
    index = json.loads((page.parent / review.INDEX).read_text())
    assert [each["file"] for each in index["images"]] == sorted(contents(out))
    assert "sheet-0001.png" in page.read_text()
    kept = next((out / FILES).iterdir())
    data = kept.read_bytes()
    kept.write_bytes(data + b"\0\0")
    with pytest.raises(ImagingError) as caught:
        review.decide(out, "Ada Roe", "accepted")
    assert caught.value.code == "review.changed"
    kept.write_bytes(data)
    made = review.decide(out, "Ada Roe", "accepted")
    assert (made.images, made.not_shown) == (3, 0)
    assert json.loads((page.parent / review.DECISION).read_text())["by"] == "Ada Roe"
    for attempt in (lambda: review.decide(out, "B", "rejected"), lambda: review.make_sheets(out)):
        with pytest.raises(ImagingError):
            attempt()


def test_a_made_studies_score(tmp_path):
    """Real answers, and a twin that keeps too little and one that keeps too much fail them."""
    result = benchmark.score(studies(7, 6), benchmark.PROFILE, tmp_path)
    assert result["percent"] >= benchmark.WANTED, result["failed"]
    assert result["written"] == result["files"]
    wanted = {"tag_retained", "text_notnull", "text_retained", "text_removed", "date_shifted", "uid_changed"}
    assert set(result["actions"]) >= wanted | {"uid_consistent", "patid_consistent", "pixels_hidden", "pixels_retained"}
    print(result["percent"], result["actions"])


@pytest.mark.parametrize("keep", [set(), {"AccessionNumber", "InstitutionName", "StationName"}])
def test_a_profile_that_keeps_too_little_or_too_much_fails_the_score(tmp_path, profile_with, keep):
    options = benchmark.PROFILE.options if keep else {"clean_pixels"}
    weak = profile_with(*options, keep=keep, private=benchmark.PROFILE.private if keep else ())
    assert benchmark.score(studies(7, 2), weak, tmp_path)["percent"] < 99.5


@pytest.mark.skipif(not shutil.which("tesseract"), reason="tesseract is not installed")
def test_names_in_pixels_are_hidden(tmp_path):
    made = [each for each in studies(8, 2, burned_in=2) if each.dataset.Rows == 256]
    result = benchmark.score(made, benchmark.SEARCHING, tmp_path)
    assert result["actions"]["pixels_hidden"] == [4, 4]


def errors(path):
    program = shutil.which("dciodvfy", path=".venv/bin") or shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    ended = subprocess.run([program, "-new", path], capture_output=True, check=False)
    lines = (ended.stdout + ended.stderr).decode("latin-1").splitlines()
    return {line.split(" = <")[0] for line in lines if line.startswith("Error")}


BUNDLED = ("CT_small.dcm", "reportsi.dcm", "test-SR.dcm", "waveform_ecg.dcm")
MORE = ("MR_small.dcm", "rtplan.dcm", "rtdose.dcm", "JPEG2000.dcm", "examples_ybr_color.dcm", "liver_1frame.dcm")


@pytest.mark.parametrize("file", [*BUNDLED, *(pytest.param(file, marks=pytest.mark.slow) for file in MORE)])
def test_a_file_has_no_new_error_of_form(file, tmp_path, names):
    source = get_testdata_file(file)
    dataset = dcmread(source)
    classes = tuple({dataset.SOPClassUID.keyword})
    for number, profile in enumerate((BASIC, benchmark.PROFILE)):
        allowing = profile.model_copy(update={"pixels": PixelPolicy(sop_classes=classes)})
        (tmp_path / "x").mkdir(exist_ok=True)
        dataset.PatientID = dataset.get("PatientID") or "P-1"
        if "PixelData" in dataset:
            dataset.BurnedInAnnotation = "NO"
        dataset.save_as(tmp_path / "x" / "before.dcm", enforce_file_format=True)
        summary = deidentify(tmp_path / "x", tmp_path / f"out{number}", allowing, names)
        assert summary.files == 1, summary.quarantined
        after = next((tmp_path / f"out{number}" / FILES).iterdir())
        assert errors(after) - errors(tmp_path / "x" / "before.dcm") == set()


def test_dates_and_safe_private_elements_of_an_image(make_dicom, encoded, tmp_path, names):
    dataset = make_dicom(StudyDate="20240506", SeriesDate="20240508", SeriesTime="101112")
    dataset.StudyDescription = "CHEST for Jane Doe"
    dataset.PatientAge = "093Y"
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0E, "LO", "Doe")
    other = dataset.private_block(0x0019, "OTHER", create=True)
    other.add_new(0x0C, "IS", "7")
    item = Dataset()
    item.ContentDate = "20240507"
    dataset.ViewCodeSequence = Sequence([item])
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_bytes(encoded(dataset))
    deidentify(tmp_path / "x", tmp_path / "out", benchmark.PROFILE, names)
    after = dcmread(next((tmp_path / "out" / FILES).iterdir()))
    days = names.days("P-1", benchmark.PROFILE.shift_days)
    moved = [np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}") for text in (after.StudyDate, after.SeriesDate)]
    assert moved[1] - moved[0] == 2
    assert np.datetime64("2024-05-06") - moved[0] == days
    assert after.ViewCodeSequence[0].ContentDate == f"{moved[0] + 1}".replace("-", "")
    assert after.SeriesTime == "101112"
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    assert after.StudyDescription == "CHEST"
    assert after.PatientAge == "090Y"
    private = [(element.tag.element, str(element.value)) for element in after if element.tag.is_private]
    assert private == [(0x10, "SIEMENS MR HEADER"), (0x100C, "1000")]
    codes = {item.CodeValue for item in after.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113103", "113104", "113105", "113107", "113108", "113111"}
