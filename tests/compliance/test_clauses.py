import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from compliance import clauses, render
from compliance.evidence import gather
from compliance.report import build
from compliance.studies import Accountants
from privacy.errors import ConfigError
from tests.compliance.evidence import Consortium
from tests.compliance.test_bundle import AT

TEMPLATES = Path(clauses.__file__).parent / "templates"


def test_every_part_is_on_the_page_once() -> None:
    text = "".join(path.read_text() for path in sorted(TEMPLATES.glob("*.html")))
    assert sorted(re.findall(r'\{\{ serves\("([a-z-]+)"\) \}\}', text)) == sorted(clauses.PARTS)


def test_our_list_serves_every_rule_and_says_that_it_is_no_advice() -> None:
    ours = clauses.read()
    rules = {one.rule for one in ours.clauses.values()}
    assert rules == {"HIPAA", "GDPR", "NIST SP 800-226", "21 CFR Part 11", "EU AI Act"}
    assert {name for names in ours.parts.values() for name in names} == set(ours.clauses)
    assert ours.notice.startswith("Not legal advice.")
    assert ours.reviewed_by == ""


def written(tmp_path: Path, **changes: Any) -> Path:
    data = yaml.safe_load(clauses.OURS.read_text()) | changes
    path = tmp_path / "clauses.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_counsel_can_edit_the_list(trained: Consortium, accountants: Accountants, tmp_path: Path) -> None:
    path = written(tmp_path, reviewed_by="Counsel <b>C</b>", notice="Reviewed, and still no advice.")
    report = build(gather(trained.root), accountants, AT, clauses=clauses.read(path))
    page = render.html(report.to_json(), ())
    assert "Counsel &lt;b&gt;C&lt;/b&gt;" in page
    assert "Reviewed, and still no advice." in page
    assert "Engineers wrote down" not in page


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": {"unit": ["gdpr-25"]}},
        {"parts": {**{part: [] for part in clauses.PARTS}, "more": []}},
        {"parts": {**{part: [] for part in clauses.PARTS}, "unit": ["unheard-of"]}},
        {"format": "collegium-clauses/2"},
        {"notice": ""},
        {"more": 1},
    ],
)
def test_a_list_that_is_not_whole_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        clauses.read(written(tmp_path, **changes))
