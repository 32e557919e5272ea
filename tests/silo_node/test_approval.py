"""Approval: policy decides, claims are recomputed, hospitals are confirmed, and the ledger has it before it counts."""

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.dp import accounting
from privacy.dp.events import DpSgdEvent, UnprotectedEvent
from privacy.errors import CollegiumError, CorruptState, PolicyRefused, StorageError, StudyError
from privacy.ledger.caps import Cap
from privacy.ledger.store import Ledger
from privacy.study import Study, dump, sign
from silo_node import approval
from silo_node.configuration import Policy
from silo_node.program import take_part
from silo_node.state import StudyDirectory
from tests.privacy.studies import NAMES, draft, study

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
OPEN = Policy(
    max_epsilon=8.0,
    delta=1e-4,
    allowed_tasks=("binary_classification",),
    allowed_models=("resnet",),
    cohorts=("chest",),
)
NO_DP: dict[str, Any] = {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.25, "lot_size": 100}


class Site:
    """One hospital's study folder and ledger."""

    def __init__(self, root: Path, name: str = NAMES[0]) -> None:
        self.root = root
        self.folder = StudyDirectory(root / "studies" / "trial")
        self.ledger = Ledger.create(root / "ledger", f"spiffe://chest-net/silo/{name}", Ed25519PrivateKey.generate())

    def file(self, signed: Study) -> Path:
        path = self.root / "given.yaml"
        path.write_text(dump(sign(signed, KEY)))
        return path

    def approve(self, signed: Study, confirmed: dict[str, str], cohort: str = "chest") -> None:
        approval.record(self.file(signed), signed, cohort, "Dr Who", confirmed, OPEN, self.folder, self.ledger)

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.entries]


ALL = {NAMES[1]: "by phone", NAMES[2]: "in person"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# ---- policy


def test_what_the_policy_allows_passes() -> None:
    approval.check_policy(study(), "chest", OPEN)


@pytest.mark.parametrize(
    ("signed", "cohort", "policy", "rule"),
    [
        (study(), "chest", {"allowed_tasks": ()}, "task"),
        (study(), "chest", {"allowed_models": ("densenet",)}, "model"),
        (study(), "spine", {}, "cohort 'spine'"),
        (study(), "chest", {"cohorts": ()}, "cohort"),
        (study(), "chest", {"max_epsilon": 7.9}, "epsilon"),
        (study(privacy=NO_DP), "chest", {}, "without differential privacy"),
    ],
)
def test_the_first_rule_that_forbids_is_named(signed: Study, cohort: str, policy: dict[str, Any], rule: str) -> None:
    with pytest.raises(PolicyRefused, match=rule) as caught:
        approval.check_policy(signed, cohort, OPEN.model_copy(update=policy))
    assert caught.value.exit_code == 4


def test_training_without_privacy_needs_the_hospitals_word() -> None:
    approval.check_policy(study(privacy=NO_DP), "chest", OPEN.model_copy(update={"allow_without_dp": True}))


# ---- claims and costs


def with_noise(noise: float | None, epsilon: float = 8.0) -> Study:
    return study(privacy=draft()["privacy"] | {"noise_multiplier": noise, "epsilon": epsilon})


def test_a_true_epsilon_passes_and_a_false_one_is_refused() -> None:
    noise = accounting.calibrate(3.0, 1e-4, 0.25, 20)
    approval.check_claims(with_noise(noise, 3.0))
    with pytest.raises(StudyError) as caught:
        approval.check_claims(with_noise(noise, 2.9))
    assert caught.value.code == "study.false_epsilon"


def charge(site: Site) -> None:
    event = approval.to_json(DpSgdEvent(0.25, 2.0, 20))
    site.ledger.append("reserved", {"study_digest": "ab" * 32, "cohort": "chest", "round": 1, "event": event})


def test_accountants_that_agree_on_what_was_charged_let_the_silo_go_on(site: Site) -> None:
    approval.check_spent("chest", OPEN, site.ledger)
    charge(site)
    approval.check_spent("chest", OPEN, site.ledger)


@pytest.mark.parametrize("off", [-0.03, 0.03])
def test_accountants_that_disagree_stop_the_silo(site: Site, monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """On the study's own claim, and on what the cohort was charged before."""
    charge(site)
    monkeypatch.setattr(accounting, "_prv", lambda events, delta: accounting.epsilon_pld(events, delta) + off)
    for check in (
        lambda: approval.check_claims(with_noise(4.0)),
        lambda: approval.check_spent("chest", OPEN, site.ledger),
    ):
        with pytest.raises(CollegiumError) as caught:
            check()
        assert caught.value.code == "accountant.disagreement"


@pytest.mark.parametrize("name", ["check_claims", "check_spent"])
def test_a_run_asks_the_accountants_again_before_it_loads_a_patient_for_training(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    built: list[object] = []

    def disagree(*_: object) -> None:
        raise CollegiumError("they disagree", code="accountant.disagreement")

    directory = MagicMock(root=site.root)
    directory.open_ledger.return_value.__enter__.return_value = site.ledger
    config = MagicMock(one_way_tls=False)
    monkeypatch.setattr("silo_node.program.configuration.read", lambda _: config)
    harmless = ("AggregatorClient", "open_cohort", "_check_recorded", "tasks.check_cohort")
    for target in (*harmless, "approval.check_policy"):
        monkeypatch.setattr(f"silo_node.program.{target}", MagicMock())
    monkeypatch.setattr(
        approval,
        "load_approved",
        lambda *_: (study(), approval.Approval(study_digest=study().digest().hex(), cohort="chest", by="Dr Who")),
    )
    for check in ("check_claims", "check_spent"):
        monkeypatch.setattr(approval, check, disagree if check == name else MagicMock())
    monkeypatch.setattr("silo_node.learner.Learner", built.append)
    with pytest.raises(CollegiumError) as caught:
        take_part(directory, "trial", "here:1", 1.0, None, 1, None)
    assert caught.value.code == "accountant.disagreement"
    assert (built, site.kinds()[-1]) == ([], "refused")


def test_a_run_refuses_code_that_an_audit_broke_until_it_is_consistent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = MagicMock(root=site.root)
    directory.open_ledger.return_value.__enter__.return_value = site.ledger
    config = MagicMock(one_way_tls=False)
    monkeypatch.setattr("silo_node.program.configuration.read", lambda _: config)
    for target in ("AggregatorClient", "approval.check_policy"):
        monkeypatch.setattr(f"silo_node.program.{target}", MagicMock())
    agreed = approval.Approval(study_digest=study().digest().hex(), cohort="chest", by="Dr Who")
    monkeypatch.setattr(approval, "load_approved", lambda *_: (study(), agreed))
    opened = MagicMock(side_effect=CorruptState("the cohort is read"))
    monkeypatch.setattr("silo_node.program.Cohort.open", opened)

    def run() -> str:
        with pytest.raises(CollegiumError) as caught:
            take_part(directory, "trial", "here:1", 1.0, None, 1, None)
        return caught.value.code

    def audited(outcome: str, bound: float) -> None:
        figures = {"claimed_epsilon": 2.0, "lower_bound": bound, "confidence": 0.95, "guesses": 1024}
        site.ledger.append("audited", {"what": "one run", **figures, "outcome": outcome, "digest": "ab" * 32})

    assert run() == "state.corrupt"
    audited("broken", 3.0)
    assert run() == "audit.broken"
    assert site.ledger.entries[-1].body["code"] == "audit.broken"
    assert opened.call_count == 1
    audited("consistent", 1.0)
    assert run() == "state.corrupt"
    assert site.kinds().count("software") == 1


def test_a_study_without_privacy_claims_nothing() -> None:
    approval.check_claims(study(privacy=NO_DP))


def test_an_event_is_of_the_steps_of_the_rounds() -> None:
    assert approval.round_event(study()) == DpSgdEvent(0.25, 2.0, 1)
    assert approval.round_event(study(), 20) == DpSgdEvent(0.25, 2.0, 20)
    assert approval.round_event(study(privacy=NO_DP), 7) == UnprotectedEvent(7)
    with pytest.raises(StudyError, match="no noise multiplier"):
        approval.round_event(with_noise(None))


def test_the_cost_counts_what_was_reserved_before(site: Site) -> None:
    fresh = approval.cost(study(), "chest", OPEN, site.ledger)
    assert fresh.before == 0.0
    assert fresh.after == pytest.approx(accounting.epsilon_pld([DpSgdEvent(0.25, 2.0, 20)], 1e-4))
    charge(site)
    later = approval.cost(study(), "chest", OPEN, site.ledger)
    assert later.before == pytest.approx(fresh.after)
    assert later.after > later.before
    assert approval.cost(study(), "spine", OPEN, site.ledger).before == 0.0


def test_the_description_says_what_leaves_what_it_costs_and_who_takes_part(site: Site) -> None:
    price = approval.cost(study(), "chest", OPEN, site.ledger)
    text = approval.describe(study(), "chest", 123, price)
    for fact in (
        "123 patients",
        "opacity",
        study().roster.code,
        "NOT covered",
        f"{price.after:.2f}",
        *NAMES[:3],
        "hub",
    ):
        assert fact in text, fact
    for party in study().roster.silos:
        assert party.fingerprint in text
    unprotected = approval.describe(study(privacy=NO_DP), "chest", 123, price)
    assert "NONE" in unprotected


@pytest.mark.parametrize(
    ("silos", "threshold", "said"),
    [
        (3, 3, ("needs 3 of 3 hospitals; 0 may be missing", "together with 1 of the other hospitals")),
        (8, 6, ("needs 6 of 8 hospitals; 2 may be missing", "together with 3 of the other hospitals")),
        (8, 8, ("needs 8 of 8 hospitals; 0 may be missing", "together with 6 of the other hospitals")),
        (2, 2, ("needs 2 of 2 hospitals", "hide nothing between them")),
    ],
)
def test_the_description_says_what_the_threshold_tolerates(silos: int, threshold: int, said: tuple[str, ...]) -> None:
    text = " ".join(approval.describe(study(silos, threshold), "chest", 1, approval.Cost(0, 1, Cap(8.0, 1e-4))).split())
    for words in said:
        assert words in text


# ---- the record


def test_an_approval_is_in_the_ledger_and_found_again(site: Site) -> None:
    site.approve(study(), ALL)
    (entry,) = site.ledger.entries
    assert entry.kind == "approved"
    assert entry.body["confirmed"] == [{"silo": NAMES[1], "how": "by phone"}, {"silo": NAMES[2], "how": "in person"}]
    assert entry.body["roster_code"] == study().roster.code
    assert (entry.body["cap_epsilon"], entry.body["by"], entry.body["cohort"]) == (8.0, "Dr Who", "chest")
    signed, found = approval.load_approved(site.folder, PUBLIC)
    assert signed == study()
    assert (found.cohort, found.by, found.study_digest) == ("chest", "Dr Who", study().digest().hex())


@pytest.mark.parametrize("confirmed", [{}, {NAMES[1]: "by phone"}, {NAMES[0]: "that is us", NAMES[2]: "by phone"}])
def test_an_unconfirmed_roster_is_refused(site: Site, confirmed: dict[str, str]) -> None:
    with pytest.raises(PolicyRefused) as caught:
        site.approve(study(), confirmed)
    assert caught.value.code == "policy.unconfirmed"
    assert site.kinds() == []
    assert not site.folder.root.exists()


def test_a_hospital_that_nobody_named_cannot_be_confirmed(site: Site) -> None:
    with pytest.raises(PolicyRefused, match="stranger") as caught:
        site.approve(study(), ALL | {"stranger": "by phone"})
    assert caught.value.code == "policy.unconfirmed"


def test_a_study_without_us_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        Site(tmp_path, "elsewhere").approve(study(), ALL)
    assert caught.value.code == "study.not_on_roster"


def test_another_study_of_the_same_name_is_refused(site: Site) -> None:
    site.approve(study(), ALL)
    site.approve(study(), ALL)
    with pytest.raises(StudyError) as caught:
        site.approve(study(description="another"), ALL)
    assert caught.value.code == "study.name_taken"


def test_without_an_approval_nothing_is_loaded(site: Site) -> None:
    with pytest.raises(PolicyRefused) as caught:
        approval.load_approved(site.folder, PUBLIC)
    assert caught.value.code == "policy.not_approved"


def test_a_full_disk_leaves_no_approval(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("cannot write")

    monkeypatch.setattr("privacy.durable.write", full)
    with pytest.raises(StorageError):
        site.approve(study(), ALL)
    with pytest.raises(PolicyRefused):
        approval.load_approved(site.folder, PUBLIC)


def test_a_study_file_that_was_exchanged_after_approval_is_refused(site: Site) -> None:
    site.approve(study(), ALL)
    site.folder.study_file.write_text(dump(sign(study(description="other"), KEY)))
    with pytest.raises(StudyError) as caught:
        approval.load_approved(site.folder, PUBLIC)
    assert caught.value.code == "study.altered"
    site.folder.study_file.write_text(dump(sign(study(), Ed25519PrivateKey.generate())))
    with pytest.raises(StudyError) as caught:
        approval.load_approved(site.folder, PUBLIC)
    assert caught.value.code == "study.foreign_signature"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"not json", b'{"study_digest": "a", "cohort": "c", "by": "b", "x": 1}']
)
def test_a_damaged_approval_is_refused(site: Site, content: bytes) -> None:
    site.approve(study(), ALL)
    site.folder.approval_file.write_bytes(content)
    with pytest.raises(CorruptState):
        approval.load_approved(site.folder, PUBLIC)
