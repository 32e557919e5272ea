"""A whole study with every program confined by the kernel as its systemd unit says."""

import sys
from pathlib import Path

import pytest

from tests.deploy.systemd import confined, units
from tests.e2e import commands
from tests.e2e.scene import SILOS, Copied, Scene, end

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is Linux's"),
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
                assert [silo.wait(300) for silo in silos] == [0, 0, 0]
            finally:
                end(*silos)
    scene.export("north")
