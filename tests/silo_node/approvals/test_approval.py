"""An approval: hospitals are confirmed, and the ledger has it before it counts."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import CorruptState, PolicyRefused, StorageError, StudyError
from privacy.study import dump, sign
from silo_node.approvals import approval
from tests.privacy.studies import NAMES, study
from tests.silo_node.approvals.hospital import ALL, KEY, Site

PUBLIC = KEY.public_key().public_bytes_raw()


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
