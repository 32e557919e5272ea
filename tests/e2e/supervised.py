"""A study with somebody beside it who starts again what was killed, as systemd would, until all silos are through."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from privacy.errors import RoundAbandoned
from tests.e2e import commands
from tests.e2e.mortal import Order, Place
from tests.e2e.nursery import ROOT, Forked, Nursery
from tests.e2e.processes import end, wait
from tests.e2e.relay import Relay
from tests.e2e.scene import Scene

HUB = "hub"
PATIENCE = 900.0
"""Seconds that a study may take with all its kills, and a silo waits for an aggregator: for machines that are slow."""

Process = Forked | subprocess.Popen[bytes]


@dataclass
class Supervised:
    """One study of a scene.

    Attributes:
        places: where each process ends itself: the first place the first time that it is started, and so on.
        relays: the lines of silos that do not go straight to the aggregator.
    """

    scene: Scene
    nursery: Nursery
    places: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    relays: Mapping[str, Relay] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def run(self) -> None:
        """The whole study; every place must have been reached."""
        self.play()
        assert self.reached, dict(self.kills)

    @property
    def reached(self) -> bool:
        """Whether every process ended itself at each of its places."""
        return dict(self.kills) == {name: len(places) for name, places in self.places.items()}

    def play(self) -> None:
        """The whole study, whichever places are reached."""
        processes: dict[str, Process] = {}
        try:
            processes[HUB] = self._serve()
            processes |= {silo: self.start(silo) for silo in self.scene.silos}
            self._follow(processes)
            processes[HUB].send_signal(15)
            assert processes[HUB].wait(120) == 0, self.words(HUB)
        finally:
            end(*processes.values())

    def start(self, silo: str) -> Forked:
        """Start a silo's `run`."""
        order = Order(self._place(silo), str(self.all_notes / silo))
        port = self.relays[silo].port if silo in self.relays else self.port
        return self.nursery.start(self.scene.log(silo), order, *self.scene.run_arguments(silo, port, PATIENCE))

    @property
    def all_notes(self) -> Path:
        """A folder for each silo with what it noted."""
        return self.scene.root / "notes"

    def words(self, name: str) -> str:
        return self.scene.log("serve" if name == HUB else name).with_suffix(".err").read_text()

    def _place(self, name: str) -> Place | None:
        places = self.places.get(name, ())
        return places[self.kills[name]] if self.kills[name] < len(places) else None

    def _serve(self) -> "subprocess.Popen[bytes]":
        place = self._place(HUB)
        command = (
            [commands.program("collegium-aggregator")]
            if place is None
            else [sys.executable, "-m", "tests.e2e.mortal", Order(place).text(), "aggregator"]
        )
        port_file = self.scene.root / "port"
        port_file.unlink(missing_ok=True)
        process = commands.spawn(
            self.scene.log("serve"), *command, *self.scene.serve_arguments(self.port, port_file), cwd=ROOT
        )
        # One that ends before it serves is seen by who follows it.
        wait(lambda: process.poll() is not None or (port_file.exists() and port_file.read_text().endswith("\n")))
        if process.poll() is None:
            self.port = int(port_file.read_text())
            for relay in self.relays.values():
                relay.lead_to(self.port)
        return process

    def _follow(self, processes: dict[str, Process]) -> None:
        deadline = time.monotonic() + PATIENCE
        while set(processes) > {HUB}:
            assert time.monotonic() < deadline, {name: self.scene.progress(name)[-1:] for name in processes}
            for name, process in list(processes.items()):
                code = process.poll()
                if code == -9:
                    self.kills[name] += 1
                    processes[name] = self._serve() if name == HUB else self.start(name)
                elif code == RoundAbandoned.exit_code:  # a person looks, and runs it again
                    processes[name] = self.start(name)
                elif code is not None:
                    assert code == 0, (name, code, self.words(name))
                    assert name != HUB, "the aggregator ended before the silos"
                    del processes[name]
            time.sleep(0.01)
