"""The standard health service over real gRPC: who may ask, and that its answers follow what the aggregator can do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthStub

from aggregator.app import Program
from aggregator.operations import readiness
from aggregator.serving import health, service
from aggregator.serving.health import Health
from privacy.channel import tls
from privacy.channel.authorisation import check_complete
from privacy.channel.enrolment import finish
from privacy.channel.identity import Identity
from privacy.channel.member import Role
from privacy.operations import metrics
from privacy.wire import convert
from privacy.wire.health import SERVICE, Status
from privacy.wire.messages import Reject
from tests.aggregator.hub import Hub
from tests.aggregator.members import context
from tests.consortium import Consortium
from tests.integration.federation import Federation

STUDY = "collegium.v1.Aggregator"
SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    root = tmp_path_factory.mktemp("health")
    return Federation(root, Consortium(root))


@pytest.fixture
def program(federation: Federation) -> Iterator[Program]:
    with federation.serving() as program:
        yield program


@pytest.fixture
def stub(federation: Federation, program: Program) -> Iterator[HealthStub]:
    with tls.channel(federation.members[0], f"localhost:{program.port}") as channel:
        yield HealthStub(channel)


def check(stub: HealthStub, name: str = "") -> int:
    return int(stub.Check(pb.HealthCheckRequest(service=name), timeout=5).status)


def refused(identity: Identity, port: int) -> grpc.StatusCode:
    with tls.channel(identity, f"localhost:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
        check(HealthStub(channel))
    return caught.value.code()


def test_every_method_of_both_services_has_its_roles() -> None:
    check_complete({**service.METHODS, **health.METHODS}, [convert.SERVICE, SERVICE])
    with pytest.raises(RuntimeError):
        check_complete(service.METHODS, [convert.SERVICE, SERVICE])


def test_what_serves_says_so(stub: HealthStub) -> None:
    assert check(stub) == check(stub, STUDY) == SERVING
    answer = stub.List(pb.HealthListRequest(), timeout=5)
    assert {name: one.status for name, one in answer.statuses.items()} == {"": SERVING, STUDY: SERVING}


def test_an_unknown_service_is_told_as_the_protocol_has_it(stub: HealthStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(stub, "collegium.v1.Nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(pb.HealthCheckRequest(service="collegium.v1.Nothing"), timeout=5)
    assert next(watch).status == pb.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_only_members_of_the_roster_are_answered(federation: Federation, program: Program) -> None:
    assert refused(federation.consortium.silo("stranger"), program.port) is grpc.StatusCode.FAILED_PRECONDITION
    with grpc.insecure_channel(f"localhost:{program.port}") as channel, pytest.raises(grpc.RpcError) as caught:
        check(HealthStub(channel))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_answers_follow_the_disk_and_a_stop(
    program: Program, stub: HealthStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.02)
    watch = stub.Watch(pb.HealthCheckRequest(), timeout=20)
    assert next(watch).status == SERVING
    with monkeypatch.context() as full:
        full.setattr(readiness, "LEAST_FREE_BYTES", 2**63)
        assert next(watch).status == NOT_SERVING
        assert check(stub) == check(stub, STUDY) == NOT_SERVING
        assert program.readiness.lacking() == ("the disk of the state directory is full",)
    assert next(watch).status == SERVING
    program.coordinator.end()
    assert next(watch).status == NOT_SERVING
    assert program.readiness.lacking() == ("it is being stopped",)
    watch.cancel()


def test_a_certificate_out_of_date_is_not_ready_until_one_is_taken_up(tmp_path: Path) -> None:
    """It went on with the one of its start: what an orchestrator asks said no for good once that had expired."""
    consortium, now = Consortium(tmp_path), datetime.now(UTC)
    consortium.enrol(Role.AGGREGATOR, "hub", ("localhost",), now - timedelta(days=400))
    ready = readiness.Readiness(tmp_path / "hub", lambda: False)

    def left() -> float:
        (sample,) = metrics.of_certificate(tmp_path / "hub", now)
        return sample.value

    (why,) = ready.lacking()
    assert "expired" in why
    assert left() < 0
    answer = tmp_path / "renewed.json"
    answer.write_text(consortium.authority.renew(consortium.member(Role.AGGREGATOR, "hub"), now).model_dump_json())
    finish(tmp_path / "hub", answer)
    assert not ready.lacking()
    assert left() > 0
    assert readiness.Readiness(tmp_path / "gone", lambda: False).lacking()
    assert not list(metrics.of_certificate(tmp_path / "gone", now))


def test_a_study_that_silos_halted_is_not_served_but_the_server_is(hub: Hub) -> None:
    """Until as many as are needed take part again; rounds that came to nothing in between change nothing."""
    healthy = Health(tuple, lambda: hub.coordinator.view().halted)
    assert healthy.statuses() == {"": Status.SERVING, STUDY: Status.SERVING}
    hub.upload_all()
    hub.work()
    hub.submit(1, Reject(context(1), 1, hub.survivors_hash(1), "sum.refused"))
    for _ in range(2):
        hub.work()
        assert hub.coordinator.view().halted == "silos refused the sum of round 1 and wait until a person there acts"
        assert healthy.statuses() == {"": Status.SERVING, STUDY: Status.NOT_SERVING}
        hub.restart()
    hub.advertise(2, number=2)
    hub.now += 30
    hub.work(2)
    assert hub.coordinator.view().round == 3
    assert healthy.statuses()[STUDY] is Status.NOT_SERVING
    hub.set_up(3)
    assert healthy.statuses()[STUDY] is Status.SERVING
    hub.coordinator.relay(hub.members.statement, frozenset({3}))
    assert hub.coordinator.view().halted == "2 silos are not revoked, and 3 are needed"
