import importlib
import json

import pytest

from imaging.deidentification import table
from imaging.deidentification.data import build_ps315


@pytest.fixture
def published(shared_data):
    return json.loads((shared_data / "dicom_ps315" / "confidentiality_profile_attributes.json").read_text("utf-8"))


def test_a_table_with_an_unknown_code_is_not_used(monkeypatch):
    data = table.published()
    for change in (
        {"rows": data["rows"] | {"00100010": "K"}},
        {"patterns": data["patterns"] | {"70xxxxxx": "X"}},
        {"options": data["options"] | {"clean_descriptors": {"00100010": "D"}}},
        {"options": data["options"] | {"another": {}}},
    ):
        monkeypatch.setattr(table.json, "loads", lambda _, change=change: data | change)
        with pytest.raises(RuntimeError):
            table.published()


def test_the_table_is_what_its_script_makes(published):
    pytest.importorskip("dicomanonymizer", reason="dicom-anonymizer is not installed")
    assert table.published() == importlib.reload(build_ps315).table(published)


def test_the_table_agrees_with_another_publication(published):
    stored = table.published()
    rows = {row["id"].replace("-", " "): row["basicProfile"] for row in published}
    ours = stored["rows"] | stored["patterns"]
    assert {tag: code for tag, code in rows.items() if ours.get(tag) != code} == {}
    assert len(ours) > len(rows)
