import pytest

from imaging import labels
from imaging.deidentify import Pseudonyms
from imaging.errors import ImagingError

PSEUDONYMS = Pseudonyms(bytes(32))


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return labels.read(path, PSEUDONYMS)

    return read


def test_columns_in_any_order_blank_lines_and_a_byte_order_mark_are_read(read):
    found = read("\ufefflabel,split,patient\r\n1,train, P-1 \r\n\r\n0,test,P-2\r\n")
    assert found[PSEUDONYMS.patient("P-1")] == labels.Label(1, "train", 2)
    assert found[PSEUDONYMS.patient("P-2")] == labels.Label(0, "test", 4)


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
            read(data) if data else labels.read(tmp_path / "absent", PSEUDONYMS)
        assert caught.value.code == "labels.unreadable"
    monkeypatch.setattr(labels, "MAX_BYTES", 10)
    with pytest.raises(ImagingError) as caught:
        read("patient,label,split\n")
    assert caught.value.code == "labels.unreadable"
