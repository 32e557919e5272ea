"""A whole study in which one silo's proxy opens TLS: the sums are as they would be, and the ledger says so."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from aggregator.app import app
from aggregator.operations.refusals import Refused
from privacy.channel.identity import Identity
from privacy.channel.one_way.line import Way
from privacy.channel.one_way.records import BEGIN
from privacy.errors import ConfigError, IdentityError
from privacy.study import dump, sign
from privacy.token.keys import TokenSigner
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient
from silo_node.connection.renewing import Renewing
from silo_node.egress import log
from silo_node.egress.log import EgressLog
from silo_node.rounds.global_model import GlobalModel
from tests.consortium import Consortium
from tests.integration.federation import Federation, run_all
from tests.integration.test_renewal import Old, answered
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.softhsm import SoftHsm, hsm

__all__ = ["hsm"]
NORTH = 1


def federation_of(tmp_path: Path, rounds: int = 1) -> Federation:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "aggregator.yaml").write_text("one_way_tls: [north]\n")
    return Federation(tmp_path, Consortium(tmp_path), rounds=rounds)


def run(federation: Federation, kind: type[BreakingProxy]) -> tuple[list[GlobalModel | BaseException], BreakingProxy]:
    with federation.serving(one_way="localhost:0") as program:
        assert program.one_way is not None
        proxy = kind(program.one_way.port, federation.hub.authority_pem)
        with proxy.running() as port:
            way = Way(federation.study.digest(), federation.hub.keys.public_identity, proxy.trusted)
            agents = [federation.agent(NORTH, port, way=way, patience=60.0)]  # a poll that is spoilt takes seconds
            agents += [federation.agent(index, program.port) for index in (2, 3)]
            results = run_all(agents)
        (entry,) = (entry for entry in program.ledger.entries if entry.kind == "transport")
        assert entry.body == {
            "study_digest": federation.study.digest().hex(),
            "silo": "north",
            "tls": "one-way",
            "trusted": "",
        }
    return results, proxy


def check_sums(federation: Federation, results: list[GlobalModel | BaseException]) -> None:
    """All rounds hold the updates of all three silos."""
    weights = np.zeros(10)
    for number in range(1, federation.rounds + 1):
        weights += np.mean([0.05 * index * number * np.linspace(-1, 1, 10) for index in (1, 2, 3)], axis=0)
    for result in results:
        assert isinstance(result, GlobalModel), result
        assert result.round_number == federation.rounds + 1
        assert np.allclose(result.optimizer.weights, weights, atol=1e-3)


def test_a_study_through_a_proxy_that_opens_tls(tmp_path: Path) -> None:
    federation = federation_of(tmp_path)
    results, proxy = run(federation, BreakingProxy)
    check_sums(federation, results)
    methods = {method.rpartition("/")[2] for method, _ in proxy.heads}
    assert methods >= {"Begin", "Submit", "Await", "BeginUpload", "Upload", "DownloadSum", "AskHead", "ExchangeHeads"}
    one_way, mutual = ({sent.name: sent.size for sent in log.read(tmp_path / f"silo-{index}")} for index in (NORTH, 2))
    assert one_way.keys() >= mutual.keys() - {"Submit/key-announce", "Submit/key-grant", "Submit/key-request"}
    assert one_way["Upload"] == mutual["Upload"], "what leaves is what left"


class Restless(BreakingProxy):
    """Alters, drops, repeats or reorders something in every few calls."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lock, self._turn, self.spoilt = threading.Lock(), 0, 0

    def requests(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        trick = self._next(method)
        if trick == 1:
            return (record[:-1] + bytes([record[-1] ^ 1]) for record in records)
        if trick == 2:
            return (record for record in list(records)[1:])
        if trick == 3:
            return iter([record for record in records for _ in range(2)][::-1])
        return records

    def answers(self, method: str, records: Iterator[bytes]) -> Iterator[bytes]:
        trick = self._next(method)
        if trick == 1:
            return (record[:-1] + bytes([record[-1] ^ 1]) for record in records)
        return iter(list(records)[1:]) if trick == 2 else records

    def _next(self, method: str) -> int:
        with self._lock:
            self._turn += 1
            trick = self._turn // 7 % 4 if method != BEGIN and self._turn % 7 == 0 else 0
            self.spoilt += trick > 0
            return trick


@pytest.mark.slow
def test_a_proxy_that_changes_what_passes_only_delays_the_study(tmp_path: Path) -> None:
    federation = federation_of(tmp_path, rounds=2)
    results, proxy = run(federation, Restless)
    check_sums(federation, results)
    assert isinstance(proxy, Restless)
    assert proxy.spoilt > 10


@pytest.mark.slow
def test_keys_in_a_token_sign_one_way_lines_too(tmp_path: Path, hsm: SoftHsm) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "aggregator.yaml").write_text("one_way_tls: [north]\n")
    consortium = Consortium(tmp_path)
    consortium.tokens["north"] = hsm.description("north")
    federation = Federation(tmp_path, consortium, rounds=1)
    assert isinstance(federation.members[0].keys.identity, TokenSigner)
    results, _ = run(federation, BreakingProxy)
    check_sums(federation, results)


@pytest.mark.slow
def test_a_certificate_is_renewed_over_a_one_way_line_and_the_old_one_refused_there(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "aggregator.yaml").write_text("one_way_tls: [north]\n")
    federation = Federation(tmp_path, Old(tmp_path))
    folder = federation.consortium.state("north") / "identity"
    before = Identity.load(folder)
    digest = federation.study.digest()
    with federation.serving(one_way="localhost:0") as program:
        assert program.one_way is not None
        way = Way(digest, federation.hub.keys.public_identity, before.authority_pem)

        def client(identity: Identity) -> AggregatorClient:
            assert program.one_way is not None
            egress = EgressLog(tmp_path, digest.hex(), digest.hex())
            return AggregatorClient(identity, f"localhost:{program.one_way.port}", digest, 5.0, egress, way=way)

        renewing = Renewing(folder, before, made := client(before))
        assert not renewing.step(), "the consortium has not answered"
        answered(federation)
        assert renewing.step()
        made.board(1, Phase.ADVERTISED)
        made.close()
        old = client(before)
        with pytest.raises(IdentityError) as caught:
            old.board(1, Phase.ADVERTISED)
        assert caught.value.code == "identity.superseded"
        old.close()
        assert Refused("north", "identity.superseded", 1) in program.refusals.due()


def test_the_port_and_the_names_come_together(tmp_path: Path) -> None:
    federation = federation_of(tmp_path)
    with pytest.raises(ConfigError) as caught, federation.serving():
        pass
    assert caught.value.code == "config.one_way"
    (tmp_path / "hub" / "aggregator.yaml").write_text("")
    (tmp_path / "hub" / "aggregator.yaml").unlink()
    with pytest.raises(ConfigError) as caught, federation.serving(one_way="localhost:0"):
        pass
    assert caught.value.code == "config.one_way"


def test_a_name_that_is_not_the_studys_is_named(tmp_path: Path) -> None:
    federation = federation_of(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(dump(sign(federation.study, federation.consortium.authority.study_key)))

    def row(*more: str) -> dict[str, str]:
        ended = CliRunner().invoke(app, ["doctor", "--state", str(tmp_path / "hub"), "--json", *more])
        found: list[dict[str, str]] = json.loads(ended.stdout.splitlines()[0])["checks"]
        return next(one for one in found if one["check"] == "configuration")

    assert row("--study", str(study))["state"] == "ok"
    assert row()["state"] == "warning", "it cannot be told without a roster"
    (tmp_path / "hub" / "aggregator.yaml").write_text("one_way_tls: [north, st-marries]\n")
    with pytest.raises(ConfigError, match="names st-marries, ") as caught, federation.serving(one_way="localhost:0"):
        pass
    assert caught.value.code == "config.one_way"
    failed = row("--study", str(study))
    assert (failed["state"], failed["code"]) == ("failed", "config.one_way")
    assert "st-marries" in failed["found"] + failed["mend"]
