import json
from pathlib import Path
from typing import Any

import pytest

from compliance import changes
from compliance.changes import Changes
from compliance.evidence import gather
from compliance.report import FORMAT, build
from compliance.studies import Accountants
from privacy.digest import Json
from privacy.errors import ConfigError
from privacy.ledger.store import Ledger
from tests.compliance.evidence import Consortium
from tests.compliance.test_bundle import AT


def record(consortium: Consortium, accountants: Accountants) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(build(gather(consortium.root), accountants, AT).canonical())
    return found


def since(consortium: Consortium, accountants: Accountants, previous: dict[str, Any]) -> Changes:
    found = build(gather(consortium.root), accountants, AT, previous=previous).changes
    assert found is not None
    return found


def test_nothing_changed(trained: Consortium, accountants: Accountants) -> None:
    found = since(trained, accountants, record(trained, accountants))
    assert found.changed == ()
    assert all(one.extends is True and one.entries_then == one.entries_now for one in found.ledgers)


def test_what_changed_is_named_then_and_now(trained: Consortium, accountants: Accountants) -> None:
    before = record(trained, accountants)
    trained.train("alpha", 6)
    trained.write("beta", "incident", code="x", detail="y")
    software = {"version": "0.2.0", "code": "ab" * 32, "libraries": {}}
    trained.write("gamma", "software", **software)
    figures: dict[str, Json] = {"claimed_epsilon": 2.0, "lower_bound": 1.5, "confidence": 0.95, "guesses": 8}
    trained.write("beta", "audited", what="one run", **figures, outcome="consistent", digest="ab" * 32)
    found = since(trained, accountants, before)
    told = {one.what: (one.then, one.now) for one in found.changed}
    assert told["alpha, cohort chest: rounds charged"] == ("5", "6")
    assert told["refusals, incidents and unfinished rounds"] == ("4", "5")
    assert told["software of gamma"] == ("", "0.2.0, code abababababab")
    assert told["attack at beta, one run"][1].startswith("consistent, epsilon at least 1.5, at 2026-03-")
    assert "beta, cohort chest: rounds charged" not in told
    grown = {one.party: (one.entries_then, one.entries_now, one.extends) for one in found.ledgers}
    then, now, extends = grown["beta"]
    assert then is not None
    assert (now, extends) == (then + 2, True)
    assert grown["alpha"][2] is True


def test_a_ledger_that_was_put_back_or_written_anew_is_found(trained: Consortium, accountants: Accountants) -> None:
    before = record(trained, accountants)
    for seen in before["ledgers"]:
        if seen["party"] == "alpha":
            seen["entries"] += 1
        if seen["party"] == "beta":
            seen["root"] = "00" * 32
    found = {one.party: one.extends for one in since(trained, accountants, before).ledgers}
    assert found == {"adder": True, "alpha": False, "beta": False, "gamma": True}


def test_new_and_missing_and_failed_ledgers(trained: Consortium, accountants: Accountants) -> None:
    before = record(trained, accountants)
    (trained.root / "alpha" / "ledger" / "head.json").write_text("{}")
    (trained.root / "beta").rename(trained.root.parent / "elsewhere")
    Ledger.create(trained.root / "new" / "ledger", "spiffe://demo/silo/new", trained.keys["beta"]).close()
    found = {
        one.party: (one.entries_now is not None, one.extends) for one in since(trained, accountants, before).ledgers
    }
    assert found["alpha"] == found["beta"] == (False, None)
    assert found["new"] == (True, None)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format":"collegium-report/9"}', b'{ "format":"collegium-report/1"}'])
def test_only_a_record_is_compared_with(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        changes.read(path, FORMAT)
    with pytest.raises(ConfigError):
        changes.read(tmp_path / "missing.json", FORMAT)
