import pytest

from imaging.deidentification import Pseudonyms
from imaging.errors import ImagingError
from imaging.labels import kinds, table

PSEUDONYMS = Pseudonyms(bytes(32))


@pytest.fixture
def read(tmp_path):
    def read(text, kind=None):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return table.read(path, PSEUDONYMS, kind)

    return read


def test_columns_in_any_order_blank_lines_and_a_byte_order_mark_are_read(read):
    found = read("\ufefflabel,split,patient\r\n1,train, P-1 \r\n\r\n0,test,P-2\r\n").by_patient()
    assert found[PSEUDONYMS.patient("P-1")] == table.Label(1, "train", 2)
    assert found[PSEUDONYMS.patient("P-2")] == table.Label(0, "test", 4)


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        ("", "labels.columns", 1),
        ("SECRET,1,train\n", "labels.columns", 1),
        ("patient,label,split,age\n", "labels.columns", 1),
        ("patient,label,split,split\n", "labels.columns", 1),
        ("patient,label\n", "labels.columns", 1),
        ("patient,label,split\nSECRET,1\n", "labels.row", 2),
        ("patient,label,split\nA,1,train\n,1,train\n", "labels.row", 3),
        ("patient,label,split\nA,1,train\nSECRET,yes,train\n", "labels.label", 3),
        ("patient,label,split\nSECRET,1.0,train\n", "labels.label", 2),
        ("patient,label,split\nSECRET,1,Train\n", "labels.split", 2),
        ("patient,label,split\nSECRET,,train\n", "labels.label", 2),
        ("patient,study,label,split\nSECRET,SECRET,1,train\n", "labels.row", 2),
        ("patient,study,label,split\nSECRET,,1,train\n", "labels.row", 2),
        ("patient,study,label,split\nSECRET,1.2,1,train\nSECRET,1.3,1,test\n", "labels.leak", 3),
        ("patient,study,series,label,split\nA,1.2,1.3,1,val\nA,1.2,1.4,1,train\n", "labels.leak", 3),
        ("patient,study,label,split\nSECRET,1.2,1,train\nSECRET,1.2,0,train\n", "labels.duplicate", 3),
        ("patient,label,split\nSECRET,1,train\nB,0,val\nSECRET,1,train\n", "labels.duplicate", 4),
        ("patient,label,split\nSECRET,1,train\n SECRET ,0,test\n", "labels.duplicate", 3),
        ('patient,label,split\nA,1,train\n"SECRET"x,1,train\n', "labels.row", 3),
    ],
)
def test_wrong_rows_are_named_by_number_alone(read, text, code, row):
    with pytest.raises(ImagingError, match=f"row {row} ") as caught:
        read(text)
    assert caught.value.code == code
    assert "SECRET" not in str(caught.value)


def test_what_is_no_text_is_refused(read, tmp_path, monkeypatch):
    for data in (b"\xff\xfe\x00", None):
        with pytest.raises(ImagingError) as caught:
            read(data) if data else table.read(tmp_path / "absent", PSEUDONYMS)
        assert caught.value.code == "labels.unreadable"
    monkeypatch.setattr(table, "MAX_BYTES", 10)
    with pytest.raises(ImagingError) as caught:
        read("patient,label,split\n")
    assert caught.value.code == "labels.unreadable"


GRADES = kinds.MultiClass(("none", "mild", "severe"))
FINDINGS = kinds.MultiLabel(("oedema", "effusion"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.MultiClass(3), "patient,label,split\nP,2,val\n", 2),
        (GRADES, "patient,label,split\nP,mild,val\n", 1),
        (FINDINGS, "effusion,patient,oedema,split\n1,P,0,val\n", (0, 1)),
        (kinds.Regression(), "patient,label,split\nP,-1.5e2,val\n", -150.0),
    ],
)
def test_each_kind_of_label_is_read(read, kind, text, value):
    assert read(text, kind).by_patient()[PSEUDONYMS.patient("P")] == table.Label(value, "val", 2)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [(kinds.MultiClass(3), cell) for cell in ("3", "-1", "01", "1.0", "mild", "", "\u0661")]
    + [(GRADES, cell) for cell in ("1", "Mild", "")]
    + [(kinds.Regression(), cell) for cell in ("nan", "inf", "1e39", "1_0", "1,5", "0x1", "")],
)
def test_a_cell_of_another_kind_is_refused(read, kind, cell):
    with pytest.raises(ImagingError) as caught:
        read(f'patient,label,split\nP,"{cell}",val\n', kind)
    assert caught.value.code == "labels.label"


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        (FINDINGS, "patient,oedema,split"),
        (FINDINGS, "patient,oedema,effusion,effusion,split"),
        (FINDINGS, "patient,oedema,effusion,label,split"),
        (kinds.Binary(), "patient,study,study,label,split"),
        (kinds.MultiLabel(("study", "series")), "patient,study,series,split"),
    ],
)
def test_columns_are_those_of_the_kind(read, kind, header):
    with pytest.raises(ImagingError) as caught:
        read(header + "\n", kind)
    assert caught.value.code == "labels.columns"


def test_classes_are_few_and_have_names_of_their_own():
    for kind, classes in [(kinds.MultiClass, ("a", "a")), (kinds.MultiClass, 1), (kinds.MultiLabel, ("",))]:
        with pytest.raises(RuntimeError):
            kind(classes)


def image(patient, study, series):
    return table.Image(PSEUDONYMS.patient(patient), PSEUDONYMS.uid(study), PSEUDONYMS.uid(series))


def test_a_series_has_its_own_label_and_the_match_is_reported_both_ways(read):
    labels = read("patient,series,label,split\nA,1.1,0,train\nA,1.2,1,train\nB,1.3,1,test\n")
    assert labels.of(image("A", "1", "1.2")).value == 1
    assert labels.of(image("B", "1", "1.2")) is None
    images = [image("A", "1", "1.2"), image("A", "9", "1.2"), image("B", "1", "1.2"), image("C", "1", "1.3")]
    assert labels.match(images) == table.Match(rows=1, rows_without_image=(2, 4), images=2, images_without_label=2)
    assert labels.splits == {PSEUDONYMS.patient("A"): "train", PSEUDONYMS.patient("B"): "test"}
    with pytest.raises(ImagingError) as caught:
        labels.by_patient()
    assert caught.value.code == "labels.columns"


def test_a_table_prints_no_name(read):
    labels = read("patient,series,label,split\nA,1.1,0,train\n")
    assert PSEUDONYMS.patient("A") not in repr(labels)
    assert len(labels) == 1
