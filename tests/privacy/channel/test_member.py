import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.channel.member import Member, Role
from privacy.errors import ConfigError, IdentityError

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True)


@given(consortium=NAMES, role=st.sampled_from(Role), name=NAMES)
def test_a_spiffe_id_is_read_back(consortium: str, role: Role, name: str) -> None:
    member = Member(consortium, role, name)
    assert Member.from_uri(member.uri) == member


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://chest-net/silo/",
        "spiffe://chest-net/silo/st-marys/",
        "spiffe://chest-net/silo/st-marys\n",
        "spiffe://chest-net/operator/st-marys",
        "spiffe://chest-net//silo/st-marys",
        "SPIFFE://chest-net/silo/st-marys",
        "https://chest-net/silo/st-marys",
        "spiffe://chest-net/silo/st-marys?x",
        "spiffe://chest-net/silo/\uff53t",
    ],
)
def test_nothing_else_is_a_member(uri: str) -> None:
    with pytest.raises(IdentityError) as caught:
        Member.from_uri(uri)
    assert caught.value.code == "identity.no_spiffe_id"


@pytest.mark.parametrize("name", ["", "St", "1st", "st marys", "a" * 41, "st/marys", "st-marys\n"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(ConfigError):
        Member("chest-net", Role.SILO, name)
