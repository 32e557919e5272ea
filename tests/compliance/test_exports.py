import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from lxml import etree
from typer.testing import CliRunner

from compliance.app import app
from compliance.budget import Accountant
from compliance.evidence import gather
from compliance.exports import dicom_audit, dpia, opendp, processing
from compliance.report import build
from compliance.studies import Accountants
from privacy.errors import ConfigError, CorruptState
from privacy.governance import Governance
from tests.compliance.evidence import Consortium, cheap
from tests.compliance.test_bundle import AT, make

SCHEMA = Path(__file__).parents[3] / "shared/data/opendp_registry/deployments-schema.yaml"


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


def test_what_the_study_states_and_what_attacks_found_is_repeated(record: dict[str, Any]) -> None:
    text = dpia.annex(record)
    assert "- Legal basis: not shown" in text
    assert "made-up patients: not shown." in text
    study = record["studies"][0]
    stated = {
        **Governance(legal_basis="Art. 9(2)(j) <b>", retention="ten years", transfers="none").model_dump(mode="json")
    }
    record["studies"][0] = {**study, "governance": stated}
    record["audits"] = [
        {
            "silo": "alpha",
            "time": "2026-03-02T08:00:07Z",
            "what": "one run",
            "claimed_epsilon": 2.0,
            "lower_bound": 1.219,
            "outcome": "consistent",
        }
    ]
    text = dpia.annex(record)
    assert "- Legal basis: Art. 9(2)(j) &lt;b&gt;" in text
    assert "- Controller: not shown" in text
    assert "alpha, 2026-03-02, one run: consistent; epsilon is at least 1.21 and claimed to be 2" in text
    row = next(csv.DictReader(io.StringIO(processing.table(record))))
    assert row["legal basis"] == "Art. 9(2)(j) <b>"
    assert (row["time limits for erasure"], row["transfers to third countries"]) == ("ten years", "none")


def test_the_annex_has_the_four_parts_and_no_markup_of_others(record: dict[str, Any]) -> None:
    record["studies"][0]["description"] = "<script>x</script>\n# Heading | [link](x)"
    text = dpia.annex(record)
    for part in ("## (a)", "## (b)", "## (c)", "## (d)"):
        assert f"\n{part}" in text
    assert "<script>" not in text
    assert "\n# Heading" not in text
    assert "\\[link\\]" in text
    assert str(record["summary"]["spent"]) in text


def test_audit_messages_have_the_form_of_the_standard(trained: Consortium) -> None:
    trained.write("alpha", "refused", study_digest="ab", code="policy.refused", reason="<&>")
    trained.write("alpha", "log_read", what="all", by="Dr. <Roe>\n\x00")
    told = list(dicom_audit.messages(trained.root))
    assert not any("\n" in message.xml for message in told)
    parsed = [etree.fromstring(message.xml) for message in told]
    for message in parsed:
        dicom_audit.validate(message)
    codes = [message.find("EventIdentification/EventID").attrib["csd-code"] for message in parsed]
    assert {"110101", "110106", "110107", "110113"} == set(codes)
    read = parsed[codes.index("110101")]
    people = [one.attrib["UserID"] for one in read.iter("ActiveParticipant")]
    assert people == ["spiffe://demo/silo/alpha", "Dr. <Roe>\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"]
    assert [message.outcome for message in told].count("4") == 1


CHANGES: tuple[Callable[[Any], object], ...] = (
    lambda root: root[0].attrib.pop("EventDateTime"),
    lambda root: root[0].set("EventDateTime", "yesterday"),
    lambda root: root[0].set("EventOutcomeIndicator", "5"),
    lambda root: root[0].set("EventActionCode", "X"),
    lambda root: root[0][0].attrib.pop("originalText"),
    lambda root: root[0][0].set("code", "1"),
    lambda root: root[1].set("UserIsRequestor", "yes"),
    lambda root: root.remove(root[1]),
    lambda root: root.append(root[0]),
    lambda root: root[-1].remove(root[-1][1]),
    lambda root: root[-1].set("ParticipantObjectTypeCodeRole", "27"),
    lambda root: etree.SubElement(root, "Patient"),
)


def test_a_message_of_another_form_is_refused(trained: Consortium) -> None:
    xml = next(dicom_audit.messages(trained.root)).xml
    dicom_audit.validate(etree.fromstring(xml))
    for change in CHANGES:
        root = etree.fromstring(xml)
        change(root)
        with pytest.raises(CorruptState) as caught:
            dicom_audit.validate(root)
        assert caught.value.code == "audit.form"


def test_the_command_writes_a_new_file(trained: Consortium, tmp_path: Path) -> None:
    report = make(trained, accountants(), tmp_path / "report")
    for form in ("opendp", "dpia", "processing", "dicom-audit"):
        arguments = ["export", form, str(report), "-o", str(tmp_path / form)]
        CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
        assert (tmp_path / form).stat().st_size > 100
        with pytest.raises(ConfigError, match="already"):
            CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
