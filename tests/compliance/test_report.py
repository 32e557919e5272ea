import json
from datetime import UTC, datetime

import pytest
import rfc8785

from compliance.budget import Accountant
from compliance.evidence import gather
from compliance.render import html
from compliance.report import Report, build
from compliance.studies import Accountants
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent
from privacy.ledger.entry import UPLOAD_SLOT_MISSED
from tests.compliance.evidence import Consortium, cheap

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


def made(consortium: Consortium, accountants: Accountants) -> Report:
    return build(gather(consortium.root), accountants, AT)


def test_the_summary_is_the_worst_hospital(trained: Consortium, accountants: Accountants) -> None:
    report = made(trained, accountants)
    summary = report.summary
    assert (summary.silos, summary.ledgers, summary.verified, summary.pinned) == (3, 4, 4, 4)
    assert summary.spent == cheap([DpSgdEvent(0.118, 1.45, 5)], 1e-4)
    assert summary.within_cap
    assert not summary.unprotected
    assert report.sound
    text = " ".join(report.statement)
    assert "any one patient" in text
    assert "from 1 in 2 to at most" in text
    assert "released without this protection" in text


def test_it_is_the_same_bytes_each_time(trained: Consortium, accountants: Accountants) -> None:
    first = made(trained, accountants).canonical()
    assert made(trained, accountants).canonical() == first
    record = json.loads(first)
    assert rfc8785.dumps(record) == first
    assert record["format"] == "collegium-report/1"
    assert record["silos"][0]["cohorts"][0]["events"] == [
        {
            "mechanism": "dp_sgd",
            "unit": "patient",
            "adjacency": "add_remove",
            "noise_at": "local",
            "sampling_rate": 0.118,
            "noise_multiplier": 1.45,
            "steps": 5,
        }
    ]


def test_a_study_is_described_from_file_and_ledgers(trained: Consortium, accountants: Accountants) -> None:
    (study,) = made(trained, accountants).studies
    assert (study.name, study.signed, study.as_signed) == ("chest-pneumonia", True, True)
    assert (study.clip, study.lot_size, study.target_epsilon, study.planned_rounds) == (1.0, 128, 8.0, 20)
    (mechanism,) = study.mechanisms
    assert (mechanism.unit, mechanism.adjacency, mechanism.noise_at) == ("patient", "add_remove", "local")
    assert study.trust is not None
    assert (study.trust.ring_degree, study.trust.modulus_bits, study.trust.security_bits) == (4096, 50, 256)
    trust = study.trust
    assert (trust.threshold, trust.dropouts_tolerated, trust.collusion_tolerated) == (3, 0, 1)
    assert [approval.by for approval in study.approvals] == ["Dr. Alpha", "Dr. Beta", "Dr. Gamma"]
    assert study.approvals[0].confirmed == ("beta: telephone", "gamma: telephone")
    rounds = {row.party: (row.opened, row.closed, row.abandoned, row.without_result) for row in study.rounds}
    assert rounds == {"alpha": (5, 4, 1, 0), "beta": (5, 4, 1, 0), "gamma": (5, 3, 1, 1), "adder": (0, 0, 0, None)}


def test_one_way_lines_are_told_by_both_ends(trained: Consortium, accountants: Accountants) -> None:
    (study,) = made(trained, accountants).studies
    assert study.transport == ()
    about: dict[str, Json] = {"study_digest": study.digest, "silo": "alpha"}
    trained.write("alpha", "transport", **about, tls="one-way", trusted="ab" * 32)
    trained.write("alpha", "transport", **about, tls="mutual", trusted="")
    trained.write("adder", "transport", **about, tls="one-way", trusted="")
    trained.write("beta", "transport", study_digest="cd" * 32, silo="beta", tls="one-way", trusted="")
    report = made(trained, accountants)
    told = {(line.party, line.silo, line.tls, line.trusted) for line in report.studies[0].transport}
    assert told == {
        ("alpha", "alpha", "one-way", "ab" * 32), ("alpha", "alpha", "mutual", ""), ("adder", "alpha", "one-way", ""),
    }  # fmt: skip
    page = html(report.to_json(), ())
    assert "Not every line was mutual TLS" in page
    assert "ab" * 32 in page


def test_without_the_signed_file_what_it_states_is_not_shown(trained: Consortium, accountants: Accountants) -> None:
    trained.publish().unlink()
    report = made(trained, accountants)
    (study,) = report.studies
    assert (study.name, study.signed, study.clip, study.trust, study.as_signed) == (
        "chest-pneumonia", False, None, None, None,
    )  # fmt: skip
    assert study.mechanisms[0].noise_multiplier == 1.45
    assert study.figures is not None
    assert report.summary.pinned == 0
    assert {ledger.pinned for ledger in report.ledgers} == {None}


def test_another_mechanism_than_the_signed_one_is_found(trained: Consortium, accountants: Accountants) -> None:
    trained.write(
        "beta",
        "reserved",
        study_digest=trained.study.digest().hex(),
        cohort="chest",
        round=6,
        event={
            "mechanism": "dp_sgd",
            "unit": "patient",
            "adjacency": "add_remove",
            "noise_at": "local",
            "sampling_rate": 0.118,
            "noise_multiplier": 0.5,
            "steps": 1,
        },
    )
    assert made(trained, accountants).studies[0].as_signed is False


@pytest.mark.parametrize(("prv", "agree"), [(0.01, True), (0.03, False), (None, None)])
def test_two_accountants_are_compared(trained: Consortium, prv: float | None, agree: bool | None) -> None:
    second = None if prv is None else Accountant(lambda events, delta: cheap(events, delta) + prv)
    accountants = Accountants(Accountant(cheap), Accountant(cheap), second, {})
    figures = made(trained, accountants).studies[0].figures
    assert figures is not None
    assert figures.agree is agree
    assert figures.delta == 1e-4


def test_what_happened_is_listed_once(trained: Consortium, accountants: Accountants) -> None:
    trained.write("beta", "refused", study_digest="77" * 32, code="policy.refused", reason="not on the list")
    found = {(item.what, item.code): item for item in made(trained, accountants).occurrences}
    assert found["abandoned round", "round.abandoned"].parties == ("alpha", "beta", "gamma")
    assert found["unfinished round", "round.unfinished"].parties == ("gamma",)
    assert found["unfinished round", "round.unfinished"].study == "chest-pneumonia"
    assert found["refusal", "policy.refused"].detail == "not on the list"
    assert len(found) == 3


def test_what_is_not_protected_is_listed(trained: Consortium, accountants: Accountants) -> None:
    exposures = made(trained, accountants).exposures
    assert exposures[0].title == "Released without noise: global metrics (test)"
    assert exposures[0].recorded == "alpha: 1 time, beta: 1 time, gamma: 1 time"
    titles = {item.title for item in exposures}
    assert {
        "More hospitals together with the aggregator than a study tolerates",
        "Patients of two hospitals",
        "A hospital that lies",
    } <= titles


def test_instants_are_listed_unless_every_study_has_a_slot(trained: Consortium, accountants: Accountants) -> None:
    title = "Instants of messages"
    assert title in {item.title for item in made(trained, accountants).exposures}
    trained.slot = 60
    trained.publish()
    assert title not in {item.title for item in made(trained, accountants).exposures}
    trained.publish().unlink()
    assert title in {item.title for item in made(trained, accountants).exposures}


def test_public_weights_are_listed_as_not_covered(trained: Consortium, accountants: Accountants) -> None:
    assert not any("started from" in item.title for item in made(trained, accountants).exposures)
    trained.start = "5a" * 32
    trained.publish()
    (found,) = (item for item in made(trained, accountants).exposures if "started from" in item.title)
    assert found.title == "What study 'chest-pneumonia' started from"
    assert trained.start in found.explanation
    assert "not covered by any budget" in found.explanation


def test_missed_slots_are_listed_with_their_hospitals(trained: Consortium, accountants: Accountants) -> None:
    for silo in ("beta", "beta", "gamma"):
        trained.write(silo, "incident", code=UPLOAD_SLOT_MISSED, detail="round 3: the upload left 1 slots later")
    (found,) = (item for item in made(trained, accountants).exposures if "missed their slot" in item.title)
    assert found.recorded == "beta: 2 times, gamma: 1 time"


def test_training_without_protection_is_said_first(consortium: Consortium, accountants: Accountants) -> None:
    consortium.protected = False
    consortium.publish()
    for silo in ("alpha", "beta"):
        consortium.approve(silo)
        consortium.train(silo, 1)
    report = made(consortium, accountants)
    assert "without differential privacy" in report.statement[0]
    assert report.summary.unprotected
    assert report.summary.within_cap is False
    assert report.exposures[0].title == "Training without differential privacy"
    assert json.loads(report.canonical())["summary"]["spent"] == "unlimited"


def test_no_figure_is_stated_beside_a_ledger_that_failed(trained: Consortium, accountants: Accountants) -> None:
    file = trained.root / "beta" / "ledger" / "entries.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    report = made(trained, accountants)
    assert not report.sound
    assert (report.summary.spent, report.summary.attack_success, report.summary.within_cap) == (None, None, None)
    assert "failed its verification" in report.statement[0]
    assert {silo.name for silo in report.silos} == {"alpha", "gamma"}


def test_a_ledger_with_a_key_that_no_study_pins_fails(trained: Consortium, accountants: Accountants) -> None:
    # A whole, self-consistent ledger under the hospital's name, written with another key.
    stranger = Consortium(trained.root / "forged", now=trained.now)
    stranger.approve("beta")
    (trained.root / "beta" / "ledger" / "origin.json").unlink()
    report = made(trained, accountants)
    forged = next(ledger for ledger in report.ledgers if ledger.party == "beta")
    assert forged.pinned is False
    assert not report.sound


def test_nothing_was_trained_yet(consortium: Consortium, accountants: Accountants) -> None:
    consortium.publish()
    consortium.approve("alpha")
    report = made(consortium, accountants)
    assert "no patient" in report.statement[0]
    assert report.studies[0].figures is None
    assert report.studies[0].mechanisms[0].noise_multiplier == 1.45


def test_exported_models_are_listed(trained: Consortium, accountants: Accountants) -> None:
    trained.write("alpha", "exported", study_digest=trained.study.digest().hex(), round=5, model_digest="aa" * 32)
    (export,) = made(trained, accountants).studies[0].exports
    assert (export.silo, export.round, export.model_digest) == ("alpha", 5, "aa" * 32)


def test_cohorts_and_quarantine_are_listed(trained: Consortium, accountants: Accountants) -> None:
    beta = next(item for item in made(trained, accountants).ingests if item.silo == "beta")
    assert (beta.patients, beta.images, beta.quarantined) == (850, 1669, {"dicom.no_pixels": 1, "dicom.truncated": 3})
    assert beta.profile == "DICOM PS3.15 Basic Profile"


def test_a_refuted_hospital_leaves_no_statement(trained: Consortium, accountants: Accountants) -> None:
    body: dict[str, Json] = {
        "what": "one run",
        "claimed_epsilon": 2.0,
        "confidence": 0.95,
        "guesses": 8,
        "digest": "ab" * 32,
    }
    trained.write("beta", "audited", **body, lower_bound=3.0, outcome="broken")
    report = made(trained, accountants)
    assert report.summary.refuted == ("beta",)
    assert "beta gives less privacy than it claims" in report.statement[0]
    assert "1 in 2" not in " ".join(report.statement)
    trained.write("beta", "audited", **body, lower_bound=1.0, outcome="consistent")
    assert "from 1 in 2" in " ".join(made(trained, accountants).statement)
