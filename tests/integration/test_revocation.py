"""A silo is revoked while a study runs: its live connection is refused, and the others go on without it."""

from pathlib import Path

import pytest

from privacy.channel import roster_statement
from privacy.channel.envelope import Signed
from privacy.channel.files import publish
from privacy.errors import IdentityError
from privacy.wire import bodies
from privacy.wire.messages import Close
from silo_node.rounds.global_model import GlobalModel
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all

WEST = 4


def test_a_revoked_silo_is_out_on_its_next_call_and_the_others_finish(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path), silos=4, rounds=2)
    with federation.serving() as program:
        agents = [federation.agent(index, program.port) for index in range(1, 5)]
        west = agents[WEST - 1]
        submit = west.client.submit

        def submit_and_be_revoked(message: Signed) -> None:
            submit(message)
            if message.kind == bodies.kind_of(Close):
                revoking = federation.consortium.roster_statement("west")
                publish(federation.statement, roster_statement.dump(revoking))

        west.client.submit = submit_and_be_revoked  # type: ignore[method-assign]
        results = run_all(agents)
        assert program.refusals.seen()["identity.revoked"] >= 1
        assert "west" in {one.silo for one in program.refusals.due() if one.code == "identity.revoked"}
    assert all(isinstance(result, GlobalModel) and result.round_number == 3 for result in results[: WEST - 1])
    refusal = results[WEST - 1]
    assert isinstance(refusal, IdentityError)
    assert refusal.code == "identity.revoked"
    assert "ask the consortium" in str(refusal)
    rounds = [entry.body["round"] for entry in west.ledger.entries if entry.kind == "round_opened"]
    assert rounds == [1]
    for agent in agents[: WEST - 1]:
        assert agent.roster.known() == {WEST}


def test_an_aggregator_does_not_serve_a_study_without_a_statement(tmp_path: Path) -> None:
    federation = Federation(tmp_path, Consortium(tmp_path))
    federation.statement.unlink()
    with pytest.raises(Exception, match="requires a roster statement"), federation.serving():
        pass
