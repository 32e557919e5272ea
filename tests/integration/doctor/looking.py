"""What `collegium-silo doctor` finds at a real aggregator, and what a silo needs to have a line there."""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from aggregator.app import Program
from privacy.errors import CollegiumError
from privacy.study import Study, dump, sign
from silo_node import configuration
from silo_node.app import app
from silo_node.approvals import approval
from silo_node.state import StateDirectory
from tests.integration.federation import Federation
from tests.privacy.channel.breaking_proxy import BreakingProxy
from tests.silo_node.operations.site import POLICY

Rows = dict[str, dict[str, Any]]
CALL, CLOCK, STUDY = "aggregator", "aggregator's clock", "study"


def examined(state: Path, port: int, *more: str) -> tuple[Rows, BaseException | None]:
    """The rows by check, and how the command ended."""
    words = ["doctor", "--state", str(state), "--aggregator", f"localhost:{port}", "--json", *more]
    ended = CliRunner().invoke(app, words)
    rows = json.loads(ended.stdout.splitlines()[0])["checks"]
    return {row["check"]: row for row in rows}, ended.exception


def refused(state: Path, port: int, kind: type[CollegiumError], code: str) -> dict[str, Any]:
    """The row of a call that is refused for this reason, which ends the command if nothing before does."""
    rows, ended = examined(state, port)
    assert (rows["TLS"]["state"], rows[CALL]["state"], rows[CALL]["code"]) == ("ok", "failed", code), rows
    assert rows[CALL]["mend"]
    assert rows[CLOCK]["state"] == "skipped"
    failed = [row for row in rows.values() if row["state"] == "failed"]
    if failed == [rows[CALL]]:
        assert type(ended) is kind
    return rows[CALL]


@contextmanager
def one_way(federation: Federation, program: Program, name: str) -> Iterator[tuple[Path, int]]:
    """A silo behind a device that opens TLS: a copy of its state directory, and the device's port."""
    assert program.one_way is not None
    state = federation.consortium.root / f"{name}-one-way-{secrets.token_hex(4)}"
    shutil.copytree(federation.consortium.state(name), state)
    device = BreakingProxy(program.one_way.port, federation.hub.authority_pem)
    (state / "proxy-ca.pem").write_bytes(device.trusted)
    (state / "silo.yaml").write_text(yaml.safe_dump({"policy": POLICY, "one_way_tls": True}))
    with device.running() as port:
        yield state, port


def approve(federation: Federation, state: Path, study: Study | None = None) -> None:
    signed, source, directory = study or federation.study, federation.folder / "study.yaml", StateDirectory(state)
    source.write_text(dump(sign(signed, federation.consortium.authority.study_key)))
    others = {silo.name: "phone" for silo in signed.roster.silos}
    policy, folder = configuration.read(state).policy, directory.study(signed.name)
    with directory.open_ledger(directory.identity()) as ledger:
        approval.record(source, signed, "chest", "Ada Roe", others, policy, folder, ledger)
