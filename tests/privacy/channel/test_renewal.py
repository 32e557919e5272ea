"""An answer to a request for renewal is taken up only from the consortium and for the member that we are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privacy.channel import renewal
from privacy.channel.admission import Admission
from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.errors import IdentityError
from tests.consortium import Consortium


def test_an_answer_for_another_or_by_another_changes_nothing(tmp_path: Path, foreign: Consortium) -> None:
    """Each twin differs from the good answer in one thing, and is signed as well as that can be."""
    ours, now = Consortium(tmp_path), datetime.now(UTC)
    folder, present = ours.state("st-marys") / "identity", ours.silo("st-marys")
    asked = renewal.asked(folder, present)
    good = ours.authority.renew(present.member, now, asked)
    elsewhere = {
        "certificate": foreign.authority._certify(asked, now),
        "ca_certificate": foreign.silo("elsewhere").authority_pem.decode(),
    }
    twins: tuple[tuple[dict[str, Any], str], ...] = (
        ({"name": "st-johns"}, "identity.other_member"),
        ({"role": Role.AGGREGATOR}, "identity.other_member"),
        ({"consortium": "other-net"}, "identity.other_member"),
        (elsewhere, "identity.foreign"),
        ({"ca_certificate": elsewhere["ca_certificate"]}, "identity.foreign"),
        ({"certificate": elsewhere["certificate"]}, "identity.foreign"),
        ({"study_key": foreign.authority.public_study_key.hex()}, "identity.foreign"),
        ({"certificate": present.certificate_pem.decode()}, "identity.other_key"),
    )

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = files()
    for changes, code in twins:
        twin = Admission.model_validate_json(good.model_copy(update=changes).model_dump_json())
        with pytest.raises(IdentityError) as caught:
            renewal.take(folder, present, twin.model_dump_json().encode())
        assert (caught.value.code, files()) == (code, before), changes
    answer = good.model_dump_json().encode()
    for at, code in ((timedelta(days=4000), "identity.expired"), (timedelta(days=-1), "identity.not_yet_valid")):
        with pytest.raises(IdentityError) as caught:
            renewal.take(folder, present, answer, now + at)
        assert (caught.value.code, files()) == (code, before)
    assert renewal.take(folder, present, answer).certificate_pem.decode() == good.certificate
    assert Identity.load(folder).certificate_pem.decode() == good.certificate
