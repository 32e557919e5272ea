"""The person who decides is told what leaves, what it costs, who takes part and who could work together."""

import pytest

from privacy.ledger.budgets.caps import Cap
from silo_node.approvals import costs, explanation
from tests.privacy.studies import NAMES, study
from tests.silo_node.approvals.hospital import NO_DP, OPEN, Site


def test_the_description_says_what_leaves_what_it_costs_and_who_takes_part(site: Site) -> None:
    price = costs.study_cost(study(), "chest", OPEN, site.ledger)
    text = explanation.describe(study(), "chest", 123, price)
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
    unprotected = explanation.describe(study(privacy=NO_DP), "chest", 123, price)
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
    text = " ".join(explanation.describe(study(silos, threshold), "chest", 1, costs.Cost(0, 1, Cap(8.0, 1e-4))).split())
    for words in said:
        assert words in text
