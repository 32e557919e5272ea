"""What doctor says behind a proxy that opens TLS."""

from aggregator.app import Program
from privacy.errors import IdentityError
from silo_node.egress import log
from tests.integration.doctor.looking import CALL, CLOCK, approve, examined, one_way, refused
from tests.integration.federation import Federation


def test_a_one_way_line_is_called_as_the_study_has_it(federation: Federation, program: Program) -> None:
    with one_way(federation, program, "north") as (state, port):
        rows, _ = examined(state, port)
        assert rows[CALL]["code"] == "policy.not_approved", "a one-way line is a study's"
        approve(federation, state)
        rows, ended = examined(state, port)
        assert (rows["TLS"]["state"], rows[CALL]["found"]) == ("ok", "takes our calls and serves")
        assert (rows[CLOCK]["state"], ended) == ("ok", None)
        names = {one.name for one in log.read(state) if one.study == federation.study.digest().hex()}
        assert names == {"Begin", "Check", "AskHead"}


def test_the_port_of_one_way_lines_is_not_the_other_one(federation: Federation, program: Program) -> None:
    assert program.one_way is not None
    row = refused(federation.consortium.state("north"), program.one_way.port, IdentityError, "one_way.port")
    assert "other port" in row["mend"]


def test_a_silo_that_may_not_use_one_way_lines(federation: Federation, program: Program) -> None:
    with one_way(federation, program, "west") as (state, port):
        approve(federation, state)
        row = refused(state, port, IdentityError, "one_way.not_allowed")
        assert "under one_way_tls" in row["mend"]
