"""One-way TLS by the real commands: a hospital whose proxy opens TLS takes part, and all can read that it was so."""

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from privacy.errors import IdentityError
from silo_node.rounds.global_model import GlobalModel
from tests.e2e import commands
from tests.e2e.processes import end, wait
from tests.e2e.scene import SILOS, STUDY, Copied, Scene, Server
from tests.e2e.state_folders import kinds, ledger
from tests.privacy.channel.breaking_proxy import BreakingProxy

NORTH = SILOS[0]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def serve(scene: Scene, one_way: int) -> Server:
    """As `Scene.serve`, with a port of one-way lines."""
    file = scene.root / "port"
    arguments = (*scene.serve_arguments(0, file), "--one-way-listen", f"127.0.0.1:{one_way}")
    process = commands.start(scene.log("serve"), "aggregator", *arguments)
    wait(lambda: file.exists() and file.read_text().endswith("\n"), process)
    return Server(process, int(file.read_text()))


def tls_row(scene: Scene, port: int) -> dict[str, Any]:
    where = ("--state", scene.state(NORTH), "--aggregator", f"localhost:{port}")
    rows = json.loads(commands.run("silo", "doctor", *where, "--json").out)["checks"]
    return next(row for row in rows if row["check"] == "TLS")


def test_a_hospital_whose_proxy_opens_tls_takes_part(approved: Scene, copied: Copied) -> None:
    scene = copied(approved)
    (scene.aggregator / "aggregator.yaml").write_text(f"one_way_tls: [{NORTH}]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        one_way = int(free.getsockname()[1])
    server = serve(scene, one_way)
    proxy = BreakingProxy(one_way, (scene.aggregator / "identity" / "ca.pem").read_bytes())
    silos: list[Any] = []
    try:
        with proxy.running() as port:
            found = tls_row(scene, port)
            assert "hospital proxy CA" in found["found"]
            assert "one_way_tls" in found["mend"]
            take_part = scene.run_arguments(NORTH, port, patience=2)
            commands.run("silo", *take_part, patience=120).refused(IdentityError, "identity.foreign", "opens TLS")
            state = scene.state(NORTH)
            (state / "proxy-ca.pem").write_bytes(proxy.trusted)
            config = state / "silo.yaml"
            config.write_text(f"{config.read_text()}\none_way_tls: true\n")
            assert tls_row(scene, port)["state"] == "ok"
            silos = [scene.start_silo(NORTH, port), *(scene.start_silo(name, server.port) for name in SILOS[1:])]
            codes = [silo.wait(300) for silo in silos]
            assert codes == [0, 0, 0], [scene.log(name).with_suffix(".err").read_text() for name in SILOS]
    finally:
        end(*silos, server.process)
    (ours,) = (entry for entry in scene.entries(NORTH) if entry.kind == "transport")
    assert (ours.body["tls"], ours.body["trusted"]) == ("one-way", hashlib.sha256(proxy.trusted).hexdigest())
    (theirs,) = (entry for entry in ledger(scene.aggregator) if entry.kind == "transport")
    assert (theirs.body["silo"], theirs.body["tls"]) == (NORTH, "one-way")
    assert "transport" not in kinds(scene.entries(SILOS[1]))
    models = [GlobalModel.load(scene.state(name) / "studies" / STUDY / "model") for name in SILOS]
    assert len({(model.chain, model.optimizer.weights.tobytes()) for model in models}) == 1
    check_report(scene)


def check_report(scene: Scene) -> None:
    scene.well("compliance", "report", scene.root, "-o", scene.root / "report", "--json")
    scene.well("compliance", "verify", scene.root / "report", "--json")
    pages = [path.read_text() for path in Path(scene.root / "report").rglob("*.html")]
    assert any("Not every line was mutual TLS" in page for page in pages)
