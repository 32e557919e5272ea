import pytest

from imaging.errors import ImagingError
from imaging.sources import listing


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "list" / "deep").mkdir(parents=True)
    for name in ("a.png", "b.nii.gz", "deep/c.JPG", "deep/m.nii", "d.txt"):
        (tmp_path / "list" / name).write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "list" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "list" / "way").symlink_to(tmp_path)
    return tmp_path / "list"


def read(folder, text):
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return listing.read(folder / "list.csv")


def refusal(folder, text):
    with pytest.raises(ImagingError) as caught:
        read(folder, text)
    assert "secret" not in str(caught.value)
    return caught.value.code


def test_rows_come_in_their_order_with_what_they_say(folder):
    rows = read(folder, "\ufeffpatient,file,spacing\nP-1,deep/c.JPG,0.5 0.5\n\nP-1,b.nii.gz,0.5 0.5 3\nP-2,a.png,\n")
    assert [row.path for row in rows] == [folder / "deep/c.JPG", folder / "b.nii.gz", folder / "a.png"]
    assert [(row.patient, row.study, row.spacing, row.row) for row in rows] == [
        ("P-1", "", (0.5, 0.5), 2),
        ("P-1", "", (0.5, 0.5, 3.0), 4),
        ("P-2", "", None, 5),
    ]
    assert "P-1" not in repr(rows)
    assert str(folder) not in repr(rows)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("file\na.png\n", "listing.columns"),
        ("file,patient,label\na.png,P,1\n", "listing.columns"),
        ("file,patient,patient\na.png,P,P\n", "listing.columns"),
        ("", "listing.columns"),
        ("file,patient\n", "listing.empty"),
        ("file,patient\na.png\n", "listing.row"),
        ("file,patient\na.png,\n", "listing.row"),
        ('file,patient\na.png,"P\n', "listing.row"),
        ("file,patient\nnone.png,P\n", "listing.missing"),
        ("file,patient\na.png/b.png,P\n", "listing.missing"),
        ("file,patient\nd.txt,P\n", "listing.kind"),
        ("file,patient\n../secret.png,P\n", "listing.outside"),
        ("file,patient\ndeep/../../secret.png,P\n", "listing.outside"),
        ("file,patient\n/etc/secret.png,P\n", "listing.outside"),
        ("file,patient\nlink.png,P\n", "listing.outside"),
        ("file,patient\nway/secret.png,P\n", "listing.outside"),
        ("file,patient\n..\\secret.png,P\n", "listing.outside"),
        ("file,patient\n,P\n", "listing.outside"),
        ("file,patient\na.png,P\ndeep/../a.png,P\n", "listing.outside"),
        ("file,patient\na.png,P\n./a.png,Q\n", "listing.duplicate"),
        ("file,patient,spacing\na.png,P,1\n", "listing.spacing"),
        ("file,patient,spacing\na.png,P,1 0\n", "listing.spacing"),
        ("file,patient,spacing\na.png,P,nan 1\n", "listing.spacing"),
        ("file,patient,spacing\na.png,P,1x1\n", "listing.spacing"),
    ],
)
def test_what_is_wrong_refuses_the_whole_listing(folder, text, code):
    assert refusal(folder, text) == code


def test_what_is_no_text_is_refused(folder):
    (folder / "list.csv").write_bytes(b"file,patient\n\xff\xfe")
    with pytest.raises(ImagingError, match="UTF-8"):
        listing.read(folder / "list.csv")
    with pytest.raises(ImagingError, match="UTF-8"):
        listing.read(folder / "none.csv")


def test_masks_are_named_with_their_files_and_once(folder):
    rows = read(folder, "file,patient,mask\nb.nii.gz,P-1,\na.png,P-2,deep/m.nii\n")
    assert [row.mask for row in rows] == [None, folder / "deep/m.nii"]
    for text, code in (
        ("file,patient,mask\na.png,P,b.jpg\n", "listing.kind"),
        ("file,patient,mask\na.png,P,../m.nii\n", "listing.outside"),
        ("file,patient,mask\nb.nii.gz,P,b.nii.gz\n", "listing.duplicate"),
        ("file,patient,mask\na.png,P,deep/m.nii\nb.nii.gz,P,deep/m.nii\n", "listing.duplicate"),
        ("file,patient,mask\na.png,P,b.nii.gz\nb.nii.gz,P,deep/m.nii\n", "listing.duplicate"),
    ):
        with pytest.raises(ImagingError) as caught:
            read(folder, text)
        assert caught.value.code == code
