import sqlite3
import stat

import pytest

from imaging.deidentification import Pseudonyms, PseudonymTable
from imaging.errors import ImagingError


def test_a_shift_is_the_patients_own_and_never_zero(names):
    days = {names.days(f"P-{number}", 30) for number in range(400)}
    assert days == set(range(1, 31))
    assert names.days("P-1", 3650) == names.days("P-1", 3650)


def test_projects_cannot_be_linked(names):
    one, other = names.for_project("chest"), names.for_project("head")
    assert len({naming.patient("P-1") for naming in (names, one, other)}) == 3
    assert len({naming.uid("1.2.3") for naming in (names, one, other)}) == 3
    assert one.patient("P-1") == names.for_project("chest").patient("P-1")


def test_a_table_draws_once_and_keeps(tmp_path):
    path = tmp_path / "names.sqlite"
    table = PseudonymTable(path)
    drawn = [table.patient("P-1"), table.uid("1.2.3"), table.file("a"), table.days("P-1", 3650)]
    table.keep()
    table.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = PseudonymTable(path)
    assert [again.patient("P-1"), again.uid("1.2.3"), again.file("a"), again.days("P-1", 3650)] == drawn
    assert again.patient("P-2") != drawn[0]
    assert drawn[0] != Pseudonyms(bytes(32)).patient("P-1")
    assert {again.days(f"{number}", 30) for number in range(400)} == set(range(1, 31))


def test_what_was_not_kept_is_forgotten(tmp_path):
    table = PseudonymTable(tmp_path / "names.sqlite")
    drawn = table.patient("P-1")
    table.close()
    assert PseudonymTable(tmp_path / "names.sqlite").patient("P-1") != drawn


def test_a_damaged_table_is_an_error_without_its_path(tmp_path):
    path = tmp_path / "secret.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ImagingError) as caught:
        PseudonymTable(path)
    assert caught.value.code == "pseudonyms.table"
    assert "secret" not in str(caught.value)
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE names (x)").connection.close()
    with pytest.raises(ImagingError):
        PseudonymTable(tmp_path / "other.sqlite").patient("P-1")
