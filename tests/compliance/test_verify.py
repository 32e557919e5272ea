"""A report is believed, and each way of tampering with it is found; with the real ledger, signatures and pages."""

import json
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from typer.testing import CliRunner

from compliance import bundle, publication
from compliance.app import app
from compliance.budget import Accountant
from compliance.canonical import canonical
from compliance.checks.check import Check, Outcome
from compliance.checks.figures import differences
from compliance.evidence import gather
from compliance.report import build
from compliance.signing import Meaning, Signer
from compliance.studies import Accountants
from compliance.verify import Anchors, verify
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, UnprotectedEvent, to_json
from privacy.errors import ConfigError, CorruptState
from privacy.ledger.budgets.caps import Cap, Request
from privacy.ledger.heads import note
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import Party, Shelf
from privacy.ledger.heads.cosigner import state
from privacy.ledger.heads.watch import Watch
from privacy.roster import fingerprint
from tests.compliance.conftest import SILOS, Consortium, cheap

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
CHAIN = "ef" * 32


def quick() -> Accountants:
    return Accountants(Accountant(cheap), Accountant(cheap), Accountant(cheap), {"pld": "cheap 1", "prv": "cheap 2"})


def make(consortium: Consortium, directory: Path) -> Path:
    with bundle.new(directory) as folder:
        bundle.collect([consortium.root], folder / bundle.EVIDENCE)
        record = build(gather(folder / bundle.EVIDENCE), quick(), AT).canonical()
        (folder / bundle.RECORD).write_bytes(record)
        signer = Signer(consortium.keys["consortium"], "Dr. Ada Roe", Meaning.APPROVED)
        bundle.add_signature(folder, signer.sign(record, AT))
        publication.publish(folder, pdf=False)
    return directory


def witness(consortium: Consortium, by: str) -> None:
    """`by` enters the present heads of all others."""
    heads: list[Json] = []
    for party in (*SILOS, "adder"):
        with consortium.ledger(party) as ledger:
            size, root = ledger.head()
        if party != by:
            heads.append({"party": party, "size": size, "root": root.hex()})
    consortium.write(by, "witnessed", study_digest=consortium.study.digest().hex(), round=1, heads=heads)


def cosign(consortium: Consortium) -> None:
    """Everybody cosigns the present heads of all others, which keep what they get, as in a round."""
    origins = {}
    for party in (*SILOS, "adder"):
        with consortium.ledger(party) as ledger:
            origins[party] = ledger.origin
    for owner, origin in origins.items():
        key = consortium.keys[owner]
        public = Party(origin, key.public_key().public_bytes_raw())
        with consortium.ledger(owner) as ledger:
            text = note.checkpoint(origin, *ledger.head(), key)
        for name, uri in origins.items():
            if name != owner:
                keys = CosigningKeys(
                    uri, consortium.keys[name], MLDSA44PrivateKey.from_seed_bytes(name.encode().ljust(32))
                )
                watch = Watch(consortium.root / name / "ledger", keys)
                cosigned = watch.cosign(origin, public.identity, text, None, 1_700_000_000)
                shelf = Shelf(consortium.root / owner / "ledger", public)
                shelf.keep(cosigned, state(keys), Party(uri, keys.public().ed25519))


def history(root: Path, endings: Callable[[str, int], str] = lambda silo, number: "closed") -> Consortium:
    """A study of three rounds and one of metrics that all parties tell alike, each seen by the others."""
    consortium = Consortium(root, rounds=3)
    consortium.publish()
    digest = consortium.study.digest().hex()
    consortium.write("adder", "study_published", study_digest=digest)
    for silo in SILOS:
        consortium.approve(silo)
    for number in (1, 2, 3, 4):
        for silo in SILOS:
            if number <= consortium.rounds:
                consortium.train(silo, number, ending=endings(silo, number))
            elif endings(silo, number) == "closed":
                consortium.write(silo, "release", study_digest=digest, round=number, what="metrics", protected=False)
        about: dict[str, Json] = {"study_digest": digest, "round": number}
        consortium.write("adder", "survivors", **about, survivors="cd" * 32, silos=[1, 2, 3])
        consortium.write("adder", "closed", **about, outcome="closed", chain=CHAIN)
    for party in ("adder", "alpha"):
        witness(consortium, party)
    return consortium


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Consortium, Path]:
    """A consortium and its report; not to be changed."""
    consortium = history(tmp_path_factory.mktemp("whole") / "evidence")
    cosign(consortium)
    return consortium, make(consortium, consortium.root.parent / "report")


@pytest.fixture
def report(whole: tuple[Consortium, Path], tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return shutil.copytree(whole[1], tmp_path / "report")


@pytest.fixture
def anchors(whole: tuple[Consortium, Path]) -> Anchors:
    key = fingerprint(whole[0].keys["consortium"].public_key().public_bytes_raw())
    return Anchors(key, (key,))


def failed(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.line for check in checks if check.outcome is Outcome.FAILED}


def test_an_honest_report_is_believed(report: Path, anchors: Anchors) -> None:
    checks = verify(report, anchors, quick())
    assert failed(checks) == {}
    assert [check.name for check in checks if check.outcome is Outcome.NOT_SHOWN] == ["print"]


def test_what_is_not_anchored_is_said(report: Path) -> None:
    said = {check.name: check for check in verify(report, Anchors(), quick())}
    for name in ("signatures", "consortium's key"):
        assert said[name].outcome is Outcome.NOT_SHOWN
        assert any(":" in finding for finding in said[name].findings), "the fingerprint to compare is in it"


def test_a_changed_figure_is_found_and_named(report: Path, anchors: Anchors) -> None:
    record = json.loads((report / "report.json").read_bytes())
    record["silos"][1]["cohorts"][0]["spent"] /= 2
    (report / "report.json").write_bytes(canonical(record))
    found = failed(verify(report, anchors, quick()))
    assert set(found) >= {"figures", "signatures", "page"}
    assert "silos[beta].cohorts[0].spent is" in found["figures"]


def test_a_changed_figure_is_found_even_when_all_is_made_and_signed_again(
    report: Path, whole: tuple[Consortium, Path], anchors: Anchors
) -> None:
    record = json.loads((report / "report.json").read_bytes())
    record["summary"]["spent"] = 0.01
    data = canonical(record)
    (report / "report.json").write_bytes(data)
    shutil.rmtree(report / "signatures")
    signer = Signer(whole[0].keys["consortium"], "Dr. Ada Roe", Meaning.APPROVED)
    bundle.add_signature(report, signer.sign(data, AT))
    publication.publish(report, pdf=False)
    assert set(failed(verify(report, anchors, quick()))) == {"figures", "page"}


def test_a_removed_entry_is_found(report: Path, anchors: Anchors) -> None:
    entries = report / "evidence" / "beta" / "ledger" / "entries.jsonl"
    lines = entries.read_bytes().splitlines(keepends=True)
    entries.write_bytes(b"".join(lines[:4] + lines[5:]))
    found = failed(verify(report, anchors, quick()))
    assert "ledger beta" in found
    assert "figures" in found


def test_an_entry_left_out_by_its_own_party_is_found(tmp_path: Path, anchors: Anchors) -> None:
    """The hospital holds its key and can write another ledger: what the others know of it gives it away."""
    honest = history(tmp_path / "evidence")
    shutil.rmtree(honest.root / "beta")
    honest.approve("beta")
    honest.train("beta", 1)
    honest.train("beta", 3)
    found = failed(verify(make(honest, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"witnesses", "rounds"}
    assert "beta took part in round 2 according to adder" in found["rounds"]


def test_a_swapped_cohort_is_found(report: Path, anchors: Anchors, tmp_path: Path) -> None:
    entries = report / "evidence" / "beta" / "ledger" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"cohort":"chest"', b'"cohort":"other"'))
    assert "ledger beta" in failed(verify(report, anchors, quick()))
    # Signed so by the hospital itself: a cohort is charged for which nobody approved the study.
    swapped = Consortium(tmp_path / "evidence")
    swapped.publish()
    swapped.approve("beta")
    swapped.train("beta", 1, cohort="other")
    found = failed(verify(make(swapped, tmp_path / "swapped"), Anchors(), quick()))
    assert "charges cohort 'other' for a study that was not approved" in found["order"]
    assert "no cap is known" in found["caps"]


def test_a_ledger_put_back_is_found(tmp_path: Path) -> None:
    """An older copy of a ledger is sound in itself, signed head and all."""
    consortium = history(tmp_path / "evidence")
    with consortium.ledger("gamma") as ledger:
        size = len(ledger.entries)
    shutil.copytree(consortium.root / "gamma", tmp_path / "older")
    consortium.train("gamma", 5)
    witness(consortium, "beta")
    shutil.rmtree(consortium.root / "gamma")
    shutil.copytree(tmp_path / "older", consortium.root / "gamma")
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"witnesses"}
    assert f"gamma has {size} entries here, and beta saw {size + 5}" in found["witnesses"]


def test_a_recovered_ledger_fails_for_what_it_lost_and_its_own_word_for_it_is_named(tmp_path: Path) -> None:
    """That entries were given up is no proof of what they were: a hospital that drops entries could say the same."""
    consortium = history(tmp_path / "evidence")
    shutil.copytree(consortium.root / "gamma", tmp_path / "older")
    consortium.train("gamma", 5)
    with consortium.ledger("gamma") as ledger:
        size, root = ledger.head()
    witness(consortium, "beta")
    cosign(consortium)
    shutil.rmtree(consortium.root / "gamma")
    shutil.copytree(tmp_path / "older", consortium.root / "gamma")
    given_up: list[Json] = [{"party": "beta", "size": size, "root": root.hex()}]
    consortium.train("gamma", 5)
    consortium.write("gamma", "recovered", reason="disk died", by="ada", witnesses=given_up, size=size)
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"witnesses", "cosignatures"}
    for line in found.values():
        assert "gamma" in line
        assert "says that lost entries were given up" in line


def test_the_last_report_is_bound_to_this_one(report: Path, anchors: Anchors, tmp_path: Path) -> None:
    before = json.loads((report / "report.json").read_bytes())
    # Slipped into the folder of a report that was made without.
    (report / "previous.json").write_bytes(canonical(before))
    assert "not what the record" in failed(verify(report, anchors, quick()))["previous report"]
    (report / "previous.json").unlink()
    record = build(gather(report / "evidence"), quick(), AT, previous=before).canonical()
    shutil.rmtree(report / "signatures")
    (report / "report.json").write_bytes(record)
    assert "is missing" in failed(verify(report, Anchors(), quick()))["previous report"]
    (report / "previous.json").write_bytes(canonical(before))
    publication.publish(report, pdf=False)
    assert failed(verify(report, Anchors(), quick())) == {}
    for other in (canonical({**before, "made_at": "2020-01-01T00:00:00Z"}), b"{}"):
        (report / "previous.json").write_bytes(other)
        assert "not what the record" in failed(verify(report, Anchors(), quick()))["previous report"]


def test_a_ledger_shorter_than_the_last_report_saw_it_is_found(report: Path) -> None:
    before = json.loads((report / "report.json").read_bytes())
    before["ledgers"][0]["entries"] += 1
    record = build(gather(report / "evidence"), quick(), AT, previous=before).canonical()
    shutil.rmtree(report / "signatures")
    (report / "report.json").write_bytes(record)
    (report / "previous.json").write_bytes(canonical(before))
    publication.publish(report, pdf=False)
    assert "put back" in failed(verify(report, Anchors(), quick()))["previous report"]


def test_a_foreign_signature_is_found(report: Path, whole: tuple[Consortium, Path], anchors: Anchors) -> None:
    consortium = whole[0]
    stranger = Ed25519PrivateKey.generate()
    # Under the report: right for its key, and not the person's.
    shutil.rmtree(report / "signatures")
    data = (report / "report.json").read_bytes()
    bundle.add_signature(report, Signer(stranger, "Dr. Ada Roe", Meaning.APPROVED).sign(data, AT))
    assert set(failed(verify(report, anchors, quick()))) == {"signatures", "page"}
    # Under the study.
    foreign = Consortium(report / "evidence", keys={**consortium.keys, "consortium": stranger})
    foreign.publish()
    assert "another key than the consortium's" in failed(verify(report, anchors, quick()))["consortium's key"]


def test_a_ledger_of_a_foreign_key_is_found(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    honest = consortium.keys
    study = consortium.study
    consortium.keys = {**honest, "beta": Ed25519PrivateKey.generate()}
    with consortium.ledger("beta") as ledger:
        ledger.append("study_published", {"study_digest": study.digest().hex()})
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert "beta is written with another key" in found["keys"]


def test_metrics_that_were_released_and_not_entered_are_found(tmp_path: Path) -> None:
    def endings(silo: str, number: int) -> str:
        return "silent" if (silo, number) == ("gamma", 4) else "closed"

    found = failed(verify(make(history(tmp_path / "evidence", endings), tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"rounds"}
    assert "gamma took part in round 4 according to adder, and its own ledger has no release in it" in found["rounds"]


def test_parties_that_tell_two_stories_are_found(tmp_path: Path) -> None:
    def endings(silo: str, number: int) -> str:
        return "abandoned" if (silo, number) == ("beta", 2) else "closed"

    found = failed(verify(make(history(tmp_path / "evidence", endings), tmp_path / "report"), Anchors(), quick()))
    assert set(found) == {"rounds"}
    assert "do not agree on the outcome of round 2" in found["rounds"]


def test_what_was_spent_without_being_reserved_is_found(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha")
    event = to_json(DpSgdEvent(0.118, 1.45, 2))
    about: dict[str, Json] = {"study_digest": consortium.study.digest().hex(), "round": 1, "cohort": "chest"}
    consortium.write("alpha", "reserved", **about, event=to_json(consortium.event))
    consortium.write("alpha", "spent", **about, event=event)
    found = failed(verify(make(consortium, tmp_path / "report"), Anchors(), quick()))
    assert "spends from cohort 'chest' what was not reserved" in found["order"]


def charge(consortium: Consortium, number: int, steps: int, *, cohort: str = "chest") -> None:
    about: dict[str, Json] = {"study_digest": consortium.study.digest().hex(), "round": number, "cohort": cohort}
    consortium.write("alpha", "reserved", **about, event=to_json(DpSgdEvent(0.118, 1.45, steps)))


def set_cap(consortium: Consortium, epsilon: float, second: Ed25519PrivateKey | None = None) -> None:
    with consortium.ledger("alpha") as ledger:
        size, root = ledger.head()
        request = Request("chest", Cap(epsilon, 1e-4), "more noise", "Dr. Roe")
        ledger.append("budget_set", request.body(second, size, root))


def test_a_cap_that_was_ever_exceeded_is_found(tmp_path: Path) -> None:
    """Also where it was raised afterwards, and where the charges went to a cohort that shares patients."""
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    charge(consortium, 1, 60)
    within = make(consortium, tmp_path / "within")
    assert "caps" not in failed(verify(within, Anchors(), quick()))
    charge(consortium, 2, 60)
    set_cap(consortium, 20.0, Ed25519PrivateKey.generate())
    charge(consortium, 3, 60)
    found = failed(verify(make(consortium, tmp_path / "above"), Anchors(), quick()))
    assert "above its cap of 8 at delta 0.0001" in found["caps"]
    assert "cap of 20" not in found["caps"]


def test_what_was_spent_before_a_cap_was_lowered_is_not_held_against_it(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    charge(consortium, 1, 60)
    set_cap(consortium, 2.0)
    report = make(consortium, tmp_path / "report")
    assert "caps" not in failed(verify(report, Anchors(), quick()))
    charge(consortium, 2, 1)
    assert "above its cap of 2" in failed(verify(make(consortium, tmp_path / "more"), Anchors(), quick()))["caps"]


def test_a_protected_charge_after_an_unprotected_one_exceeds_every_cap(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    about: dict[str, Json] = {"study_digest": consortium.study.digest().hex(), "round": 1, "cohort": "chest"}
    consortium.write("alpha", "reserved", **about, event=to_json(UnprotectedEvent(1)))
    assert "caps" not in failed(verify(make(consortium, tmp_path / "bare"), Anchors(), quick()))
    charge(consortium, 2, 1)
    assert "epsilon inf" in failed(verify(make(consortium, tmp_path / "then"), Anchors(), quick()))["caps"]


def test_a_second_signature_that_is_none_is_found_and_a_raise_without_one_is_said(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path / "evidence")
    consortium.publish()
    consortium.approve("alpha", cap=8.0)
    set_cap(consortium, 8.0)
    set_cap(consortium, 9.0)
    said = {check.name: check for check in verify(make(consortium, tmp_path / "one"), Anchors(), quick())}
    assert said["consents"].outcome is Outcome.NOT_SHOWN
    assert "on one person's word" in said["consents"].line
    with consortium.ledger("alpha") as ledger:
        request = Request("chest", Cap(10.0, 1e-4), "more", "Dr. Roe")
        ledger.append("budget_set", request.body(Ed25519PrivateKey.generate(), 0, bytes(32)))
    # The report itself is refused over such a ledger; what an older one said of it is found all the same.
    bundle.collect([consortium.root], tmp_path / "two" / "evidence")
    assert "second signature" in failed(verify(tmp_path / "two", Anchors(), quick()))["consents"]


def test_what_does_not_belong_is_found(report: Path, anchors: Anchors) -> None:
    (report / "evidence" / "beta" / "ledger" / "notes.txt").write_text("x")
    (report / "link").symlink_to("report.json")
    assert "link does not belong" in failed(verify(report, anchors, quick()))["files"]


@pytest.mark.parametrize("gone", ["report.json", "report.html", "evidence", "evidence/beta/ledger/head.json"])
def test_what_is_missing_is_found(report: Path, anchors: Anchors, gone: str) -> None:
    path = report / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert failed(verify(report, anchors, quick()))


def test_a_single_changed_byte_anywhere_is_found(report: Path, anchors: Anchors) -> None:
    files = [path for path in report.rglob("*") if path.is_file()]
    # Of the files about cosignatures, which are many and alike, one of each kind.
    alike = {(path.parent.name, path.suffix): path for path in files if path.parent.name in ("cosigned", "seen")}
    files = [path for path in files if path.parent.name not in ("cosigned", "seen")] + list(alike.values())
    assert {path.name for path in files} > {"report.json", "report.html", "001.json", "entries.jsonl", "version"}
    for path in files:
        data = path.read_bytes()
        at, other = secrets.randbelow(len(data)), 1 + secrets.randbelow(255)
        path.write_bytes(data[:at] + bytes([data[at] ^ other]) + data[at + 1 :])
        assert failed(verify(report, anchors, quick())), f"byte {at} of {path.name} xor {other} was not found"
        path.write_bytes(data)
    assert failed(verify(report, anchors, quick())) == {}


@pytest.mark.slow
def test_a_changed_print_is_found(report: Path, anchors: Anchors) -> None:
    pytest.importorskip("weasyprint", reason="the extra 'report' is not installed here", exc_type=ImportError)
    publication.publish(report, pdf=True)
    assert {check.name: check.outcome for check in verify(report, anchors, quick())}["print"] is Outcome.OK
    data = (report / "report.pdf").read_bytes()
    (report / "report.pdf").write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    assert set(failed(verify(report, anchors, quick()))) == {"print"}


def test_differences_are_named() -> None:
    stated: Json = {"a": [{"name": "x", "n": 1.0}], "gone": 1, "flag": True, "same": [1, 2]}
    found: Json = {"a": [{"name": "x", "n": 1.1}, 2], "more": None, "flag": 1, "same": [1.0, 2.0 + 1e-12]}
    assert list(differences(stated, found, ())) == [
        ("a[x].n", "1.0", "1.1"),
        ("a[1]", "nothing", "2"),
        ("flag", "True", "1"),
        ("gone", "1", "nothing"),
        ("more", "nothing", "None"),
    ]
    assert list(differences(stated, found, ("a", "flag", "gone", "more"))) == []


def test_other_accountants_are_said_and_fail_nothing(report: Path, anchors: Anchors) -> None:
    fewer = Accountants(Accountant(cheap), Accountant(cheap), None, {"pld": "cheap 2"})
    checks = {check.name: check for check in verify(report, anchors, fewer)}
    assert checks["figures"].outcome is Outcome.OK
    assert checks["accountants"].outcome is Outcome.NOT_SHOWN
    assert "cheap 2" in checks["accountants"].line


def test_the_command_says_a_line_a_check_and_ends_with_its_code(
    report: Path, anchors: Anchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accountants, "installed", quick)
    arguments = ["verify", str(report), "--consortium-key", str(anchors.consortium_key), "--signer", anchors.signers[0]]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert "ok         figures: each is what the evidence gives" in done.stdout.splitlines()
    (report / "report.html").write_text("<p>All is well.</p>")
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert isinstance(done.exception, CorruptState)
    said = json.loads(done.stdout)
    assert said["verified"] is False
    assert [check["name"] for check in said["checks"] if check["outcome"] == "FAILED"] == ["page"]
    with pytest.raises(ConfigError, match="no folder"):
        CliRunner().invoke(app, ["verify", str(report / "missing")], catch_exceptions=False, standalone_mode=False)
