import pytest

from imaging.errors import ImagingError
from imaging.sources import credentials


def refusal(read, *arguments):
    with pytest.raises(ImagingError) as caught:
        read(*arguments)
    assert "hidden" not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o601])
def test_a_secret_that_others_can_read_is_refused(tmp_path, mode):
    (tmp_path / "key").write_text("Bearer hidden\n")
    (tmp_path / "key").chmod(0o600)
    assert credentials.private(tmp_path, "key") == tmp_path / "key"
    assert credentials.token(tmp_path, "key") == "Bearer hidden"
    (tmp_path / "key").chmod(mode)
    assert refusal(credentials.private, tmp_path, "key") == "archive.secret"
    assert refusal(credentials.token, tmp_path, "key") == "archive.secret"
    assert credentials.public(tmp_path, "key")


@pytest.mark.parametrize("text", [b"", b" \n", b"hidden\nhidden: x", b"hidden\x00", b"hidden\xff", b"h" * 20_000])
def test_what_is_no_line_of_text_is_no_token(tmp_path, text):
    (tmp_path / "key").write_bytes(text)
    (tmp_path / "key").chmod(0o600)
    assert refusal(credentials.token, tmp_path, "key") == "archive.secret"


def test_what_is_not_there_is_named(tmp_path):
    for read in (credentials.public, credentials.private, credentials.token):
        assert refusal(read, tmp_path, "none") == "archive.certificate"
        assert refusal(read, tmp_path, ".") == "archive.certificate"
