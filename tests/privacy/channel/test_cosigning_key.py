"""The cosigning key is made once, for nobody else to read, and belongs to the member."""

from pathlib import Path

import pytest

from privacy.channel.cosigning_key import FILE, cosigning_keys
from privacy.errors import IdentityError
from privacy.ledger.heads import cosigner
from tests.consortium import Consortium


def test_it_is_made_at_its_first_use_and_stays(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path)
    identity, state = consortium.silo("north"), consortium.state("north")
    keys = cosigning_keys(state, identity)
    assert (state / FILE).stat().st_mode & 0o777 == 0o600
    assert cosigning_keys(state, identity).public() == keys.public()
    assert keys.name == identity.member.uri
    stated = cosigner.stated(cosigner.state(keys), identity.member.uri, identity.keys.public_identity)
    assert stated == keys.public()
    (state / FILE).chmod(0o640)
    with pytest.raises(IdentityError) as caught:
        cosigning_keys(state, identity)
    assert caught.value.code == "identity.exposed_key"
    (state / FILE).chmod(0o600)
    (state / FILE).write_bytes(b"short")
    with pytest.raises(IdentityError) as caught:
        cosigning_keys(state, identity)
    assert caught.value.code == "identity.damaged_key"
