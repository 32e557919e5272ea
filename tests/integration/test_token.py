"""Whole rounds over TLS and gRPC, with a silo whose identity and TLS keys are in a token (SoftHSM2)."""

import threading
from pathlib import Path

import pytest

from privacy.errors import IdentityError
from privacy.operations import findings
from privacy.token import session
from privacy.token.description import KeyReference
from privacy.token.keys import TokenCertificateKey, TokenSigner
from silo_node.operations.to_aggregator import ToAggregator
from silo_node.rounds.global_model import GlobalModel
from silo_node.state import StateDirectory
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all
from tests.softhsm import SoftHsm, hsm

__all__ = ["hsm"]
NORTH = 1


def made(folder: Path, hsm: SoftHsm, rounds: int) -> Federation:
    consortium = Consortium(folder)
    consortium.tokens["north"] = hsm.description("north")
    return Federation(folder, consortium, rounds=rounds, deadline=20)


class Signatures:
    """Counts what the token signs, and pulls it out before one of them."""

    def __init__(self, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, before: int | None = None) -> None:
        self.made: list[str] = []
        sign = session.Token.sign

        def counted(token: session.Token, reference: KeyReference, data: bytes) -> bytes:
            self.made.append(reference.label)
            if len(self.made) == before:
                hsm.unplug()
            return sign(token, reference, data)

        monkeypatch.setattr(session.Token, "sign", counted)


def test_a_round_with_a_silo_whose_keys_are_in_a_token(
    tmp_path: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = made(tmp_path, hsm, 1)
    keys = federation.members[0].keys
    assert isinstance(keys.identity, TokenSigner)
    assert isinstance(keys.tls, TokenCertificateKey)
    signatures = Signatures(hsm, monkeypatch)
    with federation.serving() as program:
        results = run_all([federation.agent(index, program.port) for index in (1, 2, 3)])
    assert all(isinstance(result, GlobalModel) for result in results), results
    assert len({result.chain for result in results if isinstance(result, GlobalModel)}) == 1
    assert set(signatures.made) == {"north-identity", "north-tls"}


def test_doctor_calls_with_a_key_that_is_in_a_token(tmp_path: Path, hsm: SoftHsm) -> None:
    federation = made(tmp_path, hsm, 1)
    with federation.serving() as program:
        directory, target = StateDirectory(tmp_path / "north"), f"localhost:{program.port}"
        found = {one.check: one for one in findings.examine(ToAggregator(directory, target, None).checks())}
        assert (found["aggregator"].state, found["aggregator's clock"].state) == (findings.WELL, findings.WELL)
        hsm.unplug()
        (one,) = findings.examine([("aggregator", dict(ToAggregator(directory, target, None).checks())["aggregator"])])
    assert one.error is not None
    assert one.error.code == "token.unavailable"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("before", [2, 8, 16, 25])
def test_a_token_that_is_pulled_out_amid_a_round(
    tmp_path: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """The silo ends with an error that says so, and goes on where it was when it is started with the token again."""
    federation = made(tmp_path, hsm, 2)
    Signatures(hsm, monkeypatch, before)
    stopped: list[IdentityError] = []

    def north() -> None:
        while True:
            agent = None
            try:
                agent = federation.agent(NORTH, program.port)
                results.append(agent.run())
                return
            except IdentityError as error:
                stopped.append(error)
                hsm.plug_in()
            finally:
                if agent is not None:
                    agent.client.close()
                    agent.ledger.close()

    results: list[object] = []
    with federation.serving() as program:
        worker = threading.Thread(target=north)
        worker.start()
        results += run_all([federation.agent(index, program.port) for index in (2, 3)], timeout=120.0)
        worker.join(30)
    assert [error.code for error in stopped] == ["token.unavailable"]
    assert len(results) == 3
    assert all(isinstance(result, GlobalModel) for result in results), results
    assert len({result.chain for result in results if isinstance(result, GlobalModel)}) == 1
