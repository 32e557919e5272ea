import pytest

from privacy.digest import Json
from privacy.ledger import narrative
from privacy.ledger.entry import KINDS, Entry
from privacy.ledger.narrative import tell
from tests.privacy.ledger.test_entry import example

ORIGIN = "spiffe://demo/silo/alpha"


def entry(kind: str, body: dict[str, Json]) -> Entry:
    return Entry(0, "2026-03-01T12:00:00.000000Z", kind, body, "00" * 32, "00" * 64)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told(kind: str) -> None:
    assert kind in narrative._TOLD
    told = tell(entry(kind, example(kind)), ORIGIN)
    assert told.who
    assert told.what
    assert told.outcome
    assert told.when == "2026-03-01 12:00:00 UTC"
    assert "{" not in told.what + told.outcome + told.why


def test_an_approval_names_the_person_and_a_round_the_party() -> None:
    body: dict[str, Json] = {
        **example("approved"),
        "by": "Ada Roe",
        "study": "chest",
        "cohort": "c",
        "cap_epsilon": 8.0,
    }
    told = tell(entry("approved", body), ORIGIN)
    assert (told.who, told.what, told.outcome) == ("Ada Roe", "study chest may use cohort c", "approved")
    assert "cap epsilon 8 at delta" in told.why
    assert tell(entry("round_opened", example("round_opened")), ORIGIN).who == "alpha"


def test_details_add_who_and_the_rest() -> None:
    told = tell(entry("exported", example("exported")), ORIGIN, {"by": "ada", "to": "/mnt/out"})
    assert (told.who, told.why) == ("ada", "to /mnt/out")


def test_no_text_leaves_its_line_or_moves_the_cursor() -> None:
    told = tell(entry("incident", {"code": "x", "detail": "a\n1  forged\x1b[2J\u202e {round}"}), ORIGIN)
    assert told.why == "a\ufffd1  forged\ufffd[2J\ufffd {round}"
