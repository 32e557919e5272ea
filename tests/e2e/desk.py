"""A folder in which the commands of a page run as they stand there, over the state of a scene."""

import os
import subprocess

from privacy import durable
from tests.docs.pages import ROOT, block, blocks
from tests.e2e import commands
from tests.e2e.scene import SILOS, Scene


class Desk:
    """The folder of the hospitals' state; st-marys of the page is the first of them, steward of the study."""

    def __init__(self, scene: Scene, page: str, port: int = 1) -> None:
        self.scene, self.page, self.port = scene, page, port
        self.done, self.folder = set[str](), scene.root / "silos"
        for name in ("consortium", "aggregator"):
            (self.folder / name).symlink_to(f"../{name}")
        durable.create(self.folder / "passphrase.txt", b"correct horse battery staple\n")
        self.environment = {
            **commands.ENVIRONMENT,
            "PATH": f"{commands.PROGRAMS}:{os.environ['PATH']}",
            "COLLEGIUM_PASSPHRASE_FILE": "passphrase.txt",
        }

    def run(self, heading: str, said: str = "", replaced: tuple[str, str] = ("", "")) -> str:
        """The block below a heading, which must end well."""
        ended = subprocess.run(
            ["bash", "-c", f"set -e\n{self._text(heading).replace(*replaced)}"],
            cwd=self.folder, env=self.environment, input=said, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert ended.returncode == 0, f"{heading}: {ended.stderr or ended.stdout}"
        return ended.stdout

    def start(self, heading: str) -> "subprocess.Popen[bytes]":
        """The command below a heading, in the background; the caller ends it."""
        script = f"export PATH={commands.PROGRAMS}:$PATH; exec {self._text(heading)}"
        return commands.spawn(self.scene.log("desk"), "bash", "-c", script, cwd=self.folder)

    def undone(self) -> set[str]:
        """Headings with commands that were not run."""
        return {part.heading for part in blocks(ROOT / self.page) if part.language == "bash"} - self.done

    def _text(self, heading: str) -> str:
        self.done.add(heading)
        text = block(self.page, heading).text.replace("st-marys", SILOS[0])
        return text.replace("0.0.0.0:8443", f"127.0.0.1:{self.port}").replace(
            "localhost:8443", f"localhost:{self.port}"
        )
