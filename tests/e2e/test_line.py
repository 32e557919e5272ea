"""The line between a silo and the aggregator breaks, is slow or is gone for a while: the study goes on by itself.

Real processes and TLS; a relay on loopback is the line of one of three silos, all of which are needed. Uploads of
several frames go on at the first that is missing: what was acknowledged is not sent again.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from silo_node.egress import log as egress
from tests.e2e import evidence
from tests.e2e.conftest import made_once
from tests.e2e.nursery import Nursery
from tests.e2e.relay import Relay, Weather
from tests.e2e.scene import Scene
from tests.e2e.supervised import Supervised

pytestmark = [pytest.mark.timeout(1000), pytest.mark.slow]
VICTIM = "hill"
FRAME = 2**20
AMID = 3 * FRAME
"""When so much went over the line, the silo is amid its first upload: all else is small."""
LOST = 3 * FRAME
"""What a break costs at most: the frame on its way, and what the aggregator's window and sockets take ahead of it."""


@pytest.fixture(scope="session")
def wide(founded: Scene, shared: Path) -> Scene:
    """An approved study of one round whose uploads have six frames. Not to be changed."""

    def build(folder: Path) -> None:
        scene = founded.copy(folder)
        scene.sign(
            scene.study,
            model={"parameters": {"size": [32, 32], "widths": [64, 384, 640], "strides": [2, 2, 2], "norm_groups": 4}},
            training={"rounds": 1, "local_steps": 1},
            encryption={"ring": "large"},
        )
        scene.approve_all()

    return made_once(shared, "wide", build)


class Upload:
    """Does something to a line while the silo's first upload is on it."""

    def __init__(self, trouble: Callable[[Relay], None]) -> None:
        self._trouble = trouble
        self.done = False

    def watch(self, relay: Relay) -> None:
        threading.Thread(target=self._wait, args=(relay,), daemon=True).start()

    def _wait(self, relay: Relay) -> None:
        while relay.sent < AMID:
            time.sleep(0.01)
        self._trouble(relay)
        self.done = True


def held(relay: Relay) -> None:
    """The VPN is gone for a while, and what was sent comes later."""
    relay.hold()
    time.sleep(6)
    relay.release()


def forgotten(relay: Relay) -> None:
    """The VPN is gone for a while, and when it is back nobody on the way knows the connections."""
    relay.hold()
    time.sleep(6)
    relay.reset()
    relay.release()


def flapping(relay: Relay) -> None:
    """It breaks each half-second for three."""
    for _ in range(6):
        relay.reset()
        time.sleep(0.5)


def nothing(relay: Relay) -> None:
    """No more than what the weather is."""


LINES = {
    "cut twice amid uploads": (Weather((4 * FRAME, 3 * FRAME), reset=True), nothing, 2),
    "late": (Weather(delay=0.1), nothing, 0),
    "slow": (Weather(bytes_a_second=1.5e6), nothing, 0),
    "held for seconds": (Weather(bytes_a_second=3e6), held, 0),
    "forgotten after seconds": (Weather(bytes_a_second=3e6), forgotten, 1),
    "flapping": (Weather(bytes_a_second=3e6), flapping, 6),
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.replace(" ", "_"))
def test_a_study_goes_on_over_a_bad_line_and_sends_nothing_twice(
    line: str, wide: Scene, nursery: Nursery, tmp_path: Path
) -> None:
    weather, trouble, breaks = LINES[line]
    scene = wide.copy(tmp_path / "scene")
    upload = Upload(trouble)
    with Relay(0, weather=weather) as relay:
        study = Supervised(scene, nursery, relays={VICTIM: relay})
        upload.watch(relay)
        study.run()
        assert relay.connections >= 1 + min(breaks, 1)
        sent = relay.sent
    assert upload.done
    found = evidence.gather(scene, study.all_notes)
    assert evidence.broken(found) == []
    assert found.outcomes() == {1: "closed", 2: "closed"}
    assert found.survivors() == {1: list(scene.silos), 2: list(scene.silos)}
    assert found.silos[VICTIM].incidents() == []
    # A silo on a good line says how much two uploads are; frames are as long for all.
    whole = {
        name: sum(one.size for one in egress.read(scene.state(name)) if one.name == "Upload") for name in scene.silos
    }
    least = min(whole.values())
    assert least > 11 * FRAME
    print(f"{line}: {least:,} bytes of uploads, {sent:,} over the line, {whole[VICTIM] - least:,} sent again")
    assert whole[VICTIM] - least <= breaks * LOST
    assert sent <= least + breaks * LOST + FRAME // 2
