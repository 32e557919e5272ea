"""A cap is what the hospital's ledger says; a higher one counts only with the consent that is asked for."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.digest import Json
from privacy.errors import CorruptState
from privacy.ledger.budgets.budget import BudgetFilter, Cap
from privacy.ledger.budgets.caps import Request, in_force, settings
from privacy.ledger.reader import read
from privacy.ledger.store import Ledger
from privacy.roster import fingerprint
from tests.privacy.ledger.budgets.test_budget import STEP, Accountant
from tests.privacy.ledger.budgets.test_overlap import cohort

DEFAULT = Cap(8.0, 1e-4)
OFFICER, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NAMED = fingerprint(OFFICER.public_key().public_bytes_raw())
CHEST = frozenset({"chest"})


def ask(epsilon: float, delta: float = 1e-4, name: str = "chest") -> Request:
    return Request(name, Cap(epsilon, delta), "vote of 3 May", "Ada Roe")


def put(ledger: Ledger, request: Request, key: Ed25519PrivateKey | None = None, **forged: Json) -> None:
    ledger.append("budget_set", {**request.body(key, *ledger.head()), **forged})


def cap(ledger: Ledger, second_person: str = "") -> Cap:
    return in_force(ledger.entries, CHEST, DEFAULT, second_person).cap


def test_the_newest_setting_holds_and_the_default_without_one(ledger: Ledger) -> None:
    assert cap(ledger) == DEFAULT
    for epsilon, delta in ((6.0, 1e-5), (12, 1e-4), (3.0, 1e-3)):
        put(ledger, ask(epsilon, delta))
        assert cap(ledger) == Cap(epsilon, delta)
    put(ledger, ask(1.0, name="spine"))
    assert cap(ledger) == Cap(3.0, 1e-3)


def test_lowering_needs_nobody_and_raising_needs_the_named_person(ledger: Ledger) -> None:
    put(ledger, ask(6.0))
    assert cap(ledger, NAMED) == Cap(6.0, 1e-4)
    for raised in (ask(7.0), ask(5.0, 1e-3)):
        put(ledger, raised)
        put(ledger, raised, STRANGER)
    assert in_force(ledger.entries, CHEST, DEFAULT, NAMED).ignored == (1, 2, 3, 4)
    assert cap(ledger, NAMED) == Cap(6.0, 1e-4)
    put(ledger, ask(7.0), OFFICER)
    assert cap(ledger, NAMED) == Cap(7.0, 1e-4)
    assert settings(ledger.entries)[-1].second == NAMED


def test_a_higher_default_counts_no_more_than_what_an_approval_recorded(ledger: Ledger) -> None:
    body: dict[str, Json] = {
        "study": "trial",
        "study_digest": "ab" * 32,
        "cohort": "chest",
        "roster_code": "1234",
        "confirmed": [],
        "by": "Ada Roe",
        "cap_epsilon": 4.0,
        "cap_delta": 1e-4,
        "planned_event": {},
    }
    ledger.append("approved", body)
    assert cap(ledger) == DEFAULT
    assert cap(ledger, NAMED) == Cap(4.0, 1e-4)
    put(ledger, ask(8.0), OFFICER)
    assert cap(ledger, NAMED) == Cap(8.0, 1e-4)


@pytest.mark.parametrize(
    "forged",
    [
        {"epsilon": 9.5},
        {"delta": 2e-4},
        {"cohort": "spine"},
        {"reason": "another"},
        {"by": "another"},
        {"second": STRANGER.public_key().public_bytes_raw().hex()},
        {"second": "zz"},
        {"second": ""},
        {"second_signature": ""},
        {"second_signature": "00" * 64},
    ],
)
def test_a_second_signature_is_over_all_of_the_request(ledger: Ledger, forged: dict[str, Json]) -> None:
    put(ledger, ask(9.0), OFFICER, **forged)
    with pytest.raises(CorruptState) as caught:
        settings(ledger.entries)
    assert caught.value.code == "budget.second_signature"
    guard = BudgetFilter(DEFAULT, allow_unprotected=False, epsilon_of=Accountant(), second_person=NAMED)
    with pytest.raises(CorruptState):
        guard.authorise(ledger.entries, str(forged.get("cohort", "chest")), STEP, 1)


def test_a_second_signature_serves_in_one_place_of_one_ledger(ledger: Ledger) -> None:
    put(ledger, ask(9.0), OFFICER)
    consented = ledger.entries[-1].body
    put(ledger, ask(2.0))
    ledger.append("budget_set", consented)
    with pytest.raises(CorruptState, match="ledger entry 2"):
        settings(ledger.entries)
    moved = replace(ledger.entries[0], previous="11" * 32)
    with pytest.raises(CorruptState, match="ledger entry 0"):
        settings([moved])


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 1e-4), (-1.0, 1e-4), (1.0, 0), (1.0, 1.0)])
def test_a_cap_that_is_none_is_refused(ledger: Ledger, epsilon: float, delta: float) -> None:
    put(ledger, ask(1.0), None, epsilon=epsilon, delta=delta)
    with pytest.raises(CorruptState, match="holds a cap that is none"):
        settings(ledger.entries)


def test_settings_survive_the_disk(ledger: Ledger) -> None:
    put(ledger, ask(9), OFFICER)
    found = read(ledger._directory).entries
    assert settings(found)[0].request == ask(9.0)


def test_the_lowest_cap_of_cohorts_that_share_patients_binds_them_all(ledger: Ledger) -> None:
    for each in (cohort("chest"), cohort("lung", "chest"), cohort("hand")):
        ledger.append("cohort", {**each.body, **INGESTED})
    put(ledger, ask(0.5, 1e-3, name="lung"))
    put(ledger, ask(2.0, 1e-5))
    guard = BudgetFilter(DEFAULT, allow_unprotected=False, epsilon_of=Accountant())
    assert guard.cap(ledger.entries, "chest") == guard.cap(ledger.entries, "lung") == Cap(0.5, 1e-5)
    assert guard.cap(ledger.entries, "hand") == DEFAULT
    assert guard.own_cap(ledger.entries, "chest").cap == Cap(2.0, 1e-5)
    assert guard.fitting_steps(ledger.entries, "chest", STEP, 100) == 8


INGESTED: dict[str, Json] = {
    "patients": 3,
    "images": 3,
    "quarantined": {},
    "profile": "basic",
    "table_edition": "2026b",
    "patients_commitment": "ab" * 32,
}


def test_an_entry_of_an_earlier_version_is_still_read_and_half_of_one_is_not(ledger: Ledger) -> None:
    whole = {**cohort("chest").body, **INGESTED}
    ledger.append("cohort", {k: v for k, v in whole.items() if k not in ("overlaps", "patients_commitment")})
    assert read(ledger._directory).size == 1
    for missing in ("overlaps", "patients_commitment", "digest"):
        with pytest.raises(ValueError, match="has exactly the keys"):
            ledger.append("cohort", {k: v for k, v in whole.items() if k != missing})
