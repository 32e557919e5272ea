"""Closes that agree give heads; one that differs, is forged or is missing is told apart."""

import secrets
from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg.closing import LedgerHead, check_closes
from privacy.wire.messages import Close, Sign
from tests.secure_round import Cast

CAST = Cast(5)
OWN = Close(*(secrets.token_bytes(32) for _ in range(1)), 7, *(secrets.token_bytes(32) for _ in range(4)), 1, b"r" * 32)


def close(silo: int, **changes: object) -> Signed:
    body = replace(OWN, ledger_size=10 * silo, ledger_root=bytes([silo]) * 32)
    return CAST.seal(silo, replace(body, **changes))  # type: ignore[arg-type]


def refused(*messages: Signed) -> str:
    with pytest.raises(ProtocolError) as caught:
        check_closes(messages, OWN, 2, CAST.roster)
    return caught.value.code


def test_t_that_agree_give_the_heads_of_the_others() -> None:
    heads = check_closes([close(4), close(2), close(1), close(5)], OWN, 2, CAST.roster)
    assert heads == tuple(LedgerHead(silo, 10 * silo, bytes([silo]) * 32) for silo in (1, 4, 5))


def test_our_own_counts_also_where_it_is_not_shown() -> None:
    assert CAST.roster.threshold == 4
    assert len(check_closes([close(1), close(3), close(4)], OWN, 2, CAST.roster)) == 3
    assert refused(close(1), close(3)) == "close.too_few"
    assert refused(close(1), close(2), close(3)) == "close.too_few"
    assert refused() == "close.too_few"


@pytest.mark.parametrize("name", ["survivors_hash", "chain", "sum_mac"])
def test_a_close_that_differs_is_told(name: str) -> None:
    assert refused(close(1), close(3), close(4), close(5, **{name: b"x" * 32})) == "close.differs"


def test_what_no_silo_signed_for_the_round_is_the_aggregators_doing() -> None:
    rest = (close(1), close(3), close(4))
    assert refused(*rest, replace(close(5), signer="silo-1")) == "close.forged"
    assert refused(*rest, replace(close(5), signer="nobody")) == "close.forged"
    assert refused(*rest, replace(close(5), body=close(4).body)) == "close.forged"
    assert refused(*rest, close(1)) == "close.forged"
    assert refused(*rest, close(5, ctx=b"x" * 32, chain=b"y" * 32)) == "close.forged"
    assert refused(*rest, close(5, round_number=6)) == "close.forged"
    assert refused(*rest, CAST.seal(5, Sign(OWN.ctx, 7, OWN.survivors_hash))) == "close.forged"


def test_heads_of_a_ledger_that_grows() -> None:
    head = LedgerHead(1, 10, b"a" * 32)
    assert head.continues(head)
    assert LedgerHead(1, 11, b"b" * 32).continues(head)
    assert not LedgerHead(1, 10, b"b" * 32).continues(head)
    assert not LedgerHead(1, 9, b"a" * 32).continues(head)
