"""A whole study with every program confined by the kernel as its systemd unit says, and silos that only dial out."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.deploy.systemd import confined, units
from tests.e2e import commands
from tests.e2e.processes import end
from tests.e2e.scene import SILOS, Copied, Scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not confined.possible(), reason="needs Linux 6.3, libseccomp and systemd-analyze"),
]


def test_a_study_runs_confined_as_the_units_say(
    approved: Scene, copied: Copied, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in units.NAMES:
        program = tmp_path / f"collegium-{name}"
        words = (sys.executable, confined.__file__, units.path(name), sys.executable, commands.program(program.name))
        program.write_text(f'#!/bin/sh\nexec {" ".join(str(word) for word in words)} "$@"\n')
        program.chmod(0o755)
    scene = copied(approved)
    with monkeypatch.context() as patched:
        patched.setattr(commands, "PROGRAMS", tmp_path)
        with scene.serving() as server:
            silos = [scene.start_silo(name, server.port) for name in SILOS]
            try:
                seen = connections(silos)
                assert [silo.wait(1) for silo in silos] == [0, 0, 0]
            finally:
                end(*silos)
    assert seen == {("ESTABLISHED", server.port)}
    scene.export("north")


def connections(silos: list["subprocess.Popen[bytes]"]) -> set[tuple[str, int]]:
    """Of all network sockets that the silos had until they ended: the state, and the port of the other side."""
    seen, deadline = set(), time.monotonic() + 300
    while any(silo.poll() is None for silo in silos) and time.monotonic() < deadline:
        for silo in silos:
            try:
                sockets = psutil.Process(silo.pid).net_connections()
            except psutil.NoSuchProcess:
                continue
            lasting = [one for one in sockets if one.status in (psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED, "NONE")]
            seen |= {(one.status, one.raddr.port if one.raddr else 0) for one in lasting}
        time.sleep(0.1)
    return seen
