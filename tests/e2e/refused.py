"""Commands that are to be refused, and what they may leave: a silo's state as before, but for entries of its ledger."""

from collections.abc import Sequence
from pathlib import Path

from tests.e2e import commands
from tests.e2e.commands import Ended
from tests.e2e.scene import SILOS, Scene
from tests.e2e.state_folders import contents, kinds

NORTH = SILOS[0]


def only_grew(scene: Scene, before: dict[str, tuple[int, str]], silo: str, entries: Sequence[str]) -> None:
    """The silo's state is as before, but for these new entries of its ledger."""
    after = contents(scene.state(silo))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == ({"ledger/entries.jsonl", "ledger/head.json"} if entries else set())
    all_kinds = kinds(scene.entries(silo))
    assert all_kinds[len(all_kinds) - len(entries) :] == list(entries)


def approve(scene: Scene, study: Path | None = None, silo: str = NORTH) -> Ended:
    return commands.run("silo", *scene.approve_arguments(silo, study))


def take_part(scene: Scene, port: int = 1, silo: str = NORTH, under: Sequence[str] = ()) -> Ended:
    """`run` with little patience; port 1 of this machine answers nobody."""
    at = ("--aggregator", f"localhost:{port}", "--patience", "1")
    return commands.run("silo", "run", "--state", scene.state(silo), *at, under=under)


def serve(scene: Scene, study: Path | None = None, listen: str = "127.0.0.1:0", under: Sequence[str] = ()) -> Ended:
    """A `serve` that is expected to be refused."""
    arguments = ("serve", "--state", scene.aggregator, "--study", study or scene.study, "--listen", listen)
    return commands.run("aggregator", *arguments, under=under)
