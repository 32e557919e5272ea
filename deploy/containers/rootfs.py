"""Makes the root file system of an image: Python, what it and the program link to, and nothing else.

Run while an image is built, as root, in the stage that has the tools. The virtual environment is in the root already.
Added are the interpreter, its standard library, the system's libraries that any of these need, certificate authorities,
and the few files that the C library reads. There is no shell, no package manager, no compiler and no set-uid program in
what it makes. Which system packages the files are of is written to var/lib/dpkg/status.d, where scanners look. Standard
library only.

Usage: rootfs.py ROOT
"""

import compileall
import os
import py_compile
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

USER = 10001
PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\ncollegium:x:{USER}:{USER}:Collegium:/state:/sbin/nologin\n"
GROUP = f"root:x:0:\ncollegium:x:{USER}:\n"
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
BY_NAME = ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
"""What the C library opens by name, which no file says that it needs."""
FILES = ("/etc/nsswitch.conf", "/etc/ssl/openssl.cnf", "/etc/ssl/certs/ca-certificates.crt")
UNNEEDED = ("config-*", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "dist-packages", "test",
            "tests", "tkinter", "turtledemo", "venv", "__pycache__")  # fmt: skip
"""Parts of the standard library that install, draw or test."""
MOUNTED = ("dev", "proc", "sys", "run", "etc", "data")
STATUS = Path("/var/lib/dpkg")


class Root:
    """The root that is made in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[Path] = set()

    def take(self, path: Path, but: tuple[str, ...] = ()) -> None:
        """Copy a file, or a folder without some names, to the same place, with every symbolic link on the way."""
        at = Path("/")
        for number, part in enumerate(path.parts[1:], start=2):
            at /= part
            if at.is_symlink():
                self._link(at)
                target = Path(os.path.normpath(at.parent / at.readlink()))
                return self.take(target.joinpath(*path.parts[number:]), but)
        if at not in self._taken:
            self._taken.add(at)
            made = self._at(at)
            if at.is_dir():
                shutil.copytree(at, made, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*but))
            else:
                shutil.copy2(at, made)
        return None

    def compile(self, path: Path) -> None:
        """Compile a folder of Python that was taken; the bytecode's validity does not depend on file times."""
        compileall.compile_dir(
            str(self._at(path)),
            quiet=2,
            stripdir=str(self._folder),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )

    def write(self, name: str, text: str) -> None:
        """Make a file."""
        self._at(Path("/") / name).write_text(text)

    def directory(self, name: str, owner: int = 0, mode: int = 0o755) -> None:
        """Make a folder."""
        made = self._folder / name
        made.mkdir(parents=True, exist_ok=True)
        os.chown(made, owner, owner)
        made.chmod(mode)

    def note_packages(self) -> None:
        """Name the Debian packages that files in this root are of, in the way of images without dpkg."""
        entries = (STATUS / "status").read_text().strip().split("\n\n") if (STATUS / "status").exists() else []
        for entry in entries:
            fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[0] != " ")
            name = fields["Package"]
            lists = [STATUS / "info" / f"{one}.list" for one in (name, f"{name}:{fields['Architecture']}")]
            files = [Path(line) for one in lists if one.exists() for line in one.read_text().splitlines()]
            if any(not file.is_dir() and self._has(file.resolve()) for file in files):
                self.write(f"var/lib/dpkg/status.d/{name}", f"{entry}\n")

    def harden(self) -> None:
        """No file runs as another user than the one who starts it, and nobody but its owner may change one."""
        for path in self._folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode & ~(stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH))

    def _has(self, path: Path) -> bool:
        return (self._folder / path.relative_to("/")).is_file()

    def _link(self, path: Path) -> None:
        made = self._at(path)
        if not made.is_symlink():
            made.symlink_to(path.readlink())

    def _at(self, path: Path) -> Path:
        made = self._folder / path.relative_to("/")
        made.parent.mkdir(parents=True, exist_ok=True)
        return made


def needed(file: Path) -> Iterator[Path]:
    """The libraries that the system's loader would load with a file; those that it does not find are left out."""
    told = subprocess.run(  # noqa: S603  # the loader itself, of a base that was chosen by its digest
        [LOADER, file], env={"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True, check=False
    )
    for line in told.stdout.splitlines():
        words = line.split()
        for word in words[2:3] if "=>" in words else words[:1]:
            if word.startswith("/"):
                yield Path(os.path.normpath(word))


def make(folder: Path) -> None:
    """Complete the root of an image that has an environment in `opt`."""
    root = Root(folder)
    library, interpreter = Path(sysconfig.get_path("stdlib")), Path(sys.executable)
    root.take(library, UNNEEDED)
    root.compile(library)
    for path in (interpreter, LOADER, *map(Path, FILES), *(LIBRARIES / name for name in BY_NAME)):
        root.take(path)
    binaries = [interpreter, *(path for base in (folder / "opt", library) for path in base.rglob("*.so*"))]
    libraries = {found for binary in binaries if binary.is_file() for found in needed(binary)}
    for found in sorted(libraries):
        if folder not in found.parents:
            root.take(found)
    root.note_packages()
    for name in MOUNTED:
        root.directory(name)
    root.directory("tmp", mode=0o1777)
    root.directory("state", USER, 0o700)
    root.write("etc/passwd", PASSWD)
    root.write("etc/group", GROUP)
    root.harden()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
