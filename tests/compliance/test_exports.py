import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from typer.testing import CliRunner

from compliance.app import app
from compliance.budget import Accountant
from compliance.evidence import gather
from compliance.exports import dicom_audit, dpia, opendp, processing
from compliance.report import build
from compliance.studies import Accountants
from privacy.errors import ConfigError
from tests.compliance.conftest import Consortium, cheap
from tests.compliance.test_bundle import AT, make

SCHEMA = Path(__file__).parents[3] / "shared/data/opendp_registry/deployments-schema.yaml"
CODED = {"csd-code", "codeSystemName", "originalText"}
# Attributes that must be and may be there, and children in their order with least and most, from PS3.15 A.5.1.
STRUCTURE: dict[str, tuple[set[str], set[str], list[tuple[str, int, float]]]] = {
    "AuditMessage": (
        set(),
        set(),
        [
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, 99),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, 99),
        ],
    ),
    "EventIdentification": (
        {"EventDateTime", "EventOutcomeIndicator"},
        {"EventActionCode"},
        [("EventID", 1, 1), ("EventTypeCode", 0, 99), ("EventOutcomeDescription", 0, 1)],
    ),
    "ActiveParticipant": ({"UserID", "UserIsRequestor"}, {"UserName", "AlternativeUserID"}, [("RoleIDCode", 0, 99)]),
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}, [("AuditSourceTypeCode", 0, 99)]),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole"},
        [("ParticipantObjectIDTypeCode", 1, 1), ("ParticipantObjectName", 1, 1)],
    ),
    "ParticipantObjectName": (set(), set(), []),
    **{name: (CODED, {"displayName"}, []) for name in ("EventID", "EventTypeCode", "ParticipantObjectIDTypeCode")},
}


def check(element: ET.Element) -> None:
    required, allowed, children = STRUCTURE[element.tag]
    assert required <= element.attrib.keys() <= required | allowed, element.tag
    names = [child.tag for child in element]
    order = [name for name, _, _ in children]
    assert names == sorted(names, key=order.index)
    for name, least, most in children:
        assert least <= names.count(name) <= most, name
    for child in element:
        check(child)


def accountants() -> Accountants:
    return Accountants(Accountant(cheap), Accountant(cheap), None, {"pld": "cheap 1"})


@pytest.fixture
def record(trained: Consortium) -> dict[str, Any]:
    made: dict[str, Any] = build(gather(trained.root), accountants(), AT).to_json()
    return made


def test_the_registry_takes_the_record(record: dict[str, Any]) -> None:
    said = json.loads(opendp.record(record, ()))
    assert said["deployment"]["privacy_loss"]["privacy_parameters"]["epsilon"] == record["summary"]["spent"]
    assert said["deployment"]["administrative"]["registry_authors"] == ["not shown"]
    if not SCHEMA.exists():
        pytest.skip("the registry's schema is not here")
    schema = yaml.safe_load(SCHEMA.read_text())
    jsonschema.validate(said, schema)
    said["deployment"]["extra"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, schema)


def test_a_figure_that_is_not_shown_is_no_number_of_the_registry(record: dict[str, Any]) -> None:
    for spent in (None, "unlimited"):
        record["summary"]["spent"] = spent
        assert "privacy_parameters" not in json.loads(opendp.record(record, ()))["deployment"]["privacy_loss"]
    with pytest.raises(ConfigError, match="no hospital"):
        opendp.record({**record, "silos": []}, ())
    with pytest.raises(ConfigError, match="audit refuted"):
        opendp.record({**record, "summary": {**record["summary"], "refuted": ["alpha"]}}, ())
    record["summary"]["unprotected"] = True
    with pytest.raises(ConfigError, match="without differential privacy"):
        opendp.record(record, ())


def test_each_hospital_and_study_is_a_record_of_processing(record: dict[str, Any]) -> None:
    record["studies"][0]["description"] = '=HYPERLINK("http://x"),\n"quoted"'
    record["studies"][1:] = [{**record["studies"][0], "unprotected": True}, {**record["studies"][0], "mechanisms": []}]
    rows = list(csv.DictReader(io.StringIO(processing.table(record))))
    assert [row["controller"] for row in rows] == ["alpha", "beta", "gamma"] * 3
    measures = [row["security measures"].split(";")[0] for row in rows[::3]]
    assert measures == ["differential privacy for each patient", "no differential privacy", "not shown"]
    assert rows[0]["purpose"].startswith("'=HYPERLINK")
    assert rows[0]["recipients"] == "beta, gamma, adder"
    assert rows[0]["legal basis"] == "not shown"


def test_the_annex_has_the_four_parts_and_no_markup_of_others(record: dict[str, Any]) -> None:
    record["studies"][0]["description"] = "<script>x</script>\n# Heading | [link](x)"
    text = dpia.annex(record)
    for part in ("## (a)", "## (b)", "## (c)", "## (d)"):
        assert f"\n{part}" in text
    assert "<script>" not in text
    assert "\n# Heading" not in text
    assert "\\[link\\]" in text
    assert str(record["summary"]["spent"]) in text


def test_audit_messages_have_the_structure_of_the_standard(trained: Consortium) -> None:
    trained.write("alpha", "refused", study_digest="ab", code="policy.refused", reason="<&>")
    trained.write("alpha", "log_read", what="all", by="Dr. <Roe>")
    lines = dicom_audit.messages(trained.root).splitlines()
    parsed = [ET.fromstring(line) for line in lines]
    for message in parsed:
        check(message)
    codes = [message.find("EventIdentification/EventID").attrib["csd-code"] for message in parsed]  # type: ignore[union-attr]
    assert {"110101", "110106", "110107", "110113"} == set(codes)
    read = parsed[codes.index("110101")]
    assert [one.attrib["UserID"] for one in read.iter("ActiveParticipant")] == ["spiffe://demo/silo/alpha", "Dr. <Roe>"]
    refused = [m for m in parsed if m[0].attrib["EventOutcomeIndicator"] == "4"]
    assert len(refused) == 1
    # The check of the structure can fail.
    del refused[0][0].attrib["EventDateTime"]
    with pytest.raises(AssertionError):
        check(refused[0])


def test_the_command_writes_a_new_file(trained: Consortium, tmp_path: Path) -> None:
    report = make(trained, accountants(), tmp_path / "report")
    for form in ("opendp", "dpia", "processing", "dicom-audit"):
        arguments = ["export", form, str(report), "-o", str(tmp_path / form)]
        CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
        assert (tmp_path / form).stat().st_size > 100
        with pytest.raises(ConfigError, match="already"):
            CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
