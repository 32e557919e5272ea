from compliance.assurance import audits, software
from compliance.evidence import gather
from compliance.incidents import occurrences
from tests.compliance.evidence import Consortium


def test_alike_ones_are_one(trained: Consortium) -> None:
    digest = trained.study.digest().hex()
    told = {one.what: one for one in occurrences(gather(trained.root), {digest: "chest-pneumonia"})}
    assert told["abandoned round"].parties == ("alpha", "beta", "gamma")
    assert (told["abandoned round"].count, told["unfinished round"].parties) == (3, ("gamma",))
    assert told["abandoned round"].study == "chest-pneumonia"


def test_rounds_that_could_not_be_opened_and_recoveries_are_told(trained: Consortium) -> None:
    about = {"study_digest": "ab" * 32, "round": 6}
    trained.write("beta", "unopenable", **about, survivors="cd", unmask_set="ef", culprit=3, code="mac.sum")
    trained.write("beta", "recovered", reason="disk died", by="ada", witnesses=["alpha"], size=7)
    told = {one.what: one for one in occurrences(gather(trained.root), {})}
    assert "made so by hospital 3 of the roster" in told["unopenable round"].detail
    assert told["unopenable round"].study == "abababababab"
    assert told["recovered ledger"].detail.startswith("It goes on from an older copy as entry ")
    assert told["recovered ledger"].detail.endswith(". Others knew it with 7 entries: disk died")


def test_software_and_audits_are_as_they_were_entered(trained: Consortium) -> None:
    assert software(gather(trained.root)) == audits(gather(trained.root)) == ()
    trained.write("adder", "software", version="0.1.0", code="ab" * 32, libraries={"numpy": "2.4.6"})
    trained.write(
        "alpha", "audited", what="one run", claimed_epsilon=2, lower_bound=1.5, confidence=0.95, guesses=1024,
        outcome="consistent", digest="cd" * 32,
    )  # fmt: skip
    (ran,) = software(gather(trained.root))
    assert (ran.party, ran.version, ran.libraries) == ("adder", "0.1.0", {"numpy": "2.4.6"})
    (audit,) = audits(gather(trained.root))
    assert (audit.silo, audit.claimed_epsilon, audit.lower_bound, audit.guesses) == ("alpha", 2.0, 1.5, 1024)
