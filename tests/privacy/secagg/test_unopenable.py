"""The same shares give the same finding at every silo, and only t equal findings end a round."""

from dataclasses import replace

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.secagg import unopenable
from privacy.wire.messages import Sign, Unmask, Unopenable
from privacy.wire.sets import unmask_set_digest
from tests.secure_round import Cast, Round


@pytest.fixture(scope="module")
def run() -> Round:
    return Round(Cast(4)).until_uploads()


def finding(run: Round, silo: int, messages: tuple[Signed, ...]) -> Unopenable:
    with pytest.raises(ProtocolError) as caught:
        run.recover(messages, run.cast.everyone, silo)
    assert caught.value.code in unopenable.FINDINGS
    return unopenable.found(run.places[silo], run.survivors_hash(run.cast.everyone), messages, caught.value)


def said(run: Round, silo: int, **changes: object) -> Signed:
    body = Unopenable(run.ctx, 1, b"s" * 32, b"u" * 32, 2, "share.inconsistent")
    return run.cast.seal(silo, replace(body, **changes))  # type: ignore[arg-type]


def test_what_is_found_depends_on_what_is_shown_alone(run: Round) -> None:
    messages = run.unmask(run.cast.everyone, run.cast.everyone)
    found = {finding(run, silo, messages[:2]) for silo in run.cast.everyone}
    digest = run.survivors_hash(run.cast.everyone)
    assert found == {Unopenable(run.ctx, 1, digest, unmask_set_digest(messages[:2]), 0, "unmask.too_few")}
    assert finding(run, 1, messages[1:3]) not in found


def test_who_revealed_wrong_shares_is_named_where_too_few_are_left(run: Round) -> None:
    messages = run.unmask(run.cast.everyone, run.cast.everyone)
    garbage = Unmask(run.ctx, 1, 3, run.survivors_hash(run.cast.everyone), bytes(4 * 32 + 16))
    assert finding(run, 1, (*messages[:2], run.cast.seal(3, garbage))).culprit == 3


def test_t_equal_findings_are_the_end(run: Round) -> None:
    body = unopenable.check_abandonment([said(run, silo) for silo in (1, 3, 4)], run.places[1])
    assert (body.culprit, body.code) == (2, "share.inconsistent")
    odd = said(run, 2, culprit=3)
    assert unopenable.check_abandonment([odd, *(said(run, silo) for silo in (1, 3, 4))], run.places[2]) == body


@pytest.mark.parametrize(
    "lie",
    ["nothing", "one fewer", "repeated", "two minds", "of another context", "of another round", "forged", "of a kind"],
)
def test_less_is_no_end(run: Round, lie: str) -> None:
    one, two = said(run, 1), said(run, 3)
    third = {
        "repeated": (two,),
        "two minds": (said(run, 4, unmask_set=b"v" * 32),),
        "of another context": (said(run, 4, ctx=b"x" * 32),),
        "of another round": (said(run, 4, round_number=2),),
        "forged": (replace(one, signer="silo-4"),),
        "of a kind": (run.cast.seal(4, Sign(run.ctx, 1, b"s" * 32)),),
    }
    with pytest.raises(ProtocolError) as caught:
        unopenable.check_abandonment([] if lie == "nothing" else [one, two, *third.get(lie, ())], run.places[1])
    assert caught.value.code == "round.foreign_abandon"
