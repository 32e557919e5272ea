"""Builds images and runs containers without a daemon: buildah and podman with runc, in a storage of their own.

All that is made lies below one folder and is gone when the context ends; no other container, image or network of this
machine is touched. Runs as root, in a network namespace that has loopback alone, which the caller made.
"""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--memory", "4g", "--pids-limit", "256")
LOCKED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--user", "10001:10001", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=256m,mode=1777"),
)
"""As in deploy/compose."""


@dataclass(frozen=True)
class Mount:
    """A folder of the host in a container."""

    host: Path
    inside: str
    writable: bool = False

    @property
    def option(self) -> str:
        return f"{self.host}:{self.inside}:{'rw' if self.writable else 'ro'},nosuid,nodev,noexec"


class Engine:
    """One storage; a context that leaves nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._storage = (
            *("--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--storage-driver", "overlay"),
        )
        self._podman = ("podman", *self._storage, "--cgroup-manager=cgroupfs", "--runtime", "/usr/sbin/runc")

    def __enter__(self) -> "Engine":
        self._folder.mkdir(mode=0o700)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove everything that is in this storage, and the storage."""
        self.podman("rm", "--all", "--force", "--time", "0")
        self.podman("image", "unmount", "--all", "--force")
        self.podman("rmi", "--all", "--force")
        subprocess.run(["umount", "-q", str(self._folder / "root" / "overlay")], check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", str(self._folder)], check=True)

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman and return what it printed."""
        done = subprocess.run([*self._podman, *arguments], capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"podman {arguments[0]}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def take(self, archive: Path, name: str) -> str:
        """Import a root file system; returns the image by digest."""
        self.podman("import", str(archive), name)
        return f"localhost/{name}@{self.inspect(name)['Digest']}"

    def build(self, name: str, context: Path, base: str, epoch: int = 0) -> float:
        """Build an image and return the seconds that it took."""
        began = time.monotonic()
        done = subprocess.run(
            [
                *("buildah", *self._storage, "bud", "--isolation", "chroot", "--format", "docker", "--pull-never"),
                *("--timestamp", str(epoch), "--build-arg", f"BASE={base}", "--tag", name),
                *("--file", str(context / f"{name.split(':')[0].removeprefix('collegium-')}.Dockerfile"), str(context)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return time.monotonic() - began

    def inspect(self, image: str) -> dict[str, Any]:
        """What the engine knows of an image."""
        (found,) = json.loads(self.podman("image", "inspect", image))
        return dict(found)

    def save(self, image: str, archive: Path) -> None:
        """Write an image to a file, as a release has it."""
        self.podman("save", "--quiet", "--format", "docker-archive", "--output", str(archive), image)

    def tree(self, image: str) -> Path:
        """Where the image's files can be looked at."""
        return Path(self.podman("image", "mount", image))

    def once(self, image: str, arguments: Sequence[str], mounts: Sequence[Mount] = (), entry: str | None = None) -> str:
        """Run a locked-down container to its end and return what it printed."""
        entrypoint = () if entry is None else ("--entrypoint", entry)
        return self.podman("run", "--rm", *self._options(mounts), *entrypoint, image, *arguments)

    def start(self, name: str, image: str, arguments: Sequence[str], mounts: Sequence[Mount]) -> None:
        """Start a locked-down container that stays."""
        self.podman("run", "--detach", "--name", name, *self._options(mounts), image, *arguments)

    def state(self, name: str) -> dict[str, Any]:
        """Whether a container runs, its process and exit code."""
        (found,) = json.loads(self.podman("container", "inspect", name))
        return dict(found["State"])

    def healthy(self, name: str) -> bool:
        """Whether the image's own check of health succeeds."""
        done = subprocess.run([*self._podman, "healthcheck", "run", name], capture_output=True, check=False)
        return done.returncode == 0

    def _options(self, mounts: Sequence[Mount]) -> list[str]:
        volumes = [part for mount in mounts for part in ("--volume", mount.option)]
        return [*LOCKED, *LIMITS, "--network=host", *volumes]
