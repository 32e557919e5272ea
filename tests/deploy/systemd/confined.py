"""Runs a program under what a unit of `deploy/systemd` allows of the kernel: `python confined.py UNIT COMMAND...`.

Applied for real, by libseccomp and prctl, as systemd would: SystemCallFilter=, MemoryDenyWriteExecute=,
NoNewPrivileges=, LimitCORE=, UMask=. The mounts, users and devices of a unit are not.
"""

import ctypes
import ctypes.util
import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.deploy.systemd.units import values

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_GET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 66, 1
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def possible() -> bool:
    """Whether this kernel (Linux 6.3 or newer) and this machine have all that it takes."""
    libc = ctypes.CDLL(None)
    return (
        hasattr(libc, "prctl")
        and libc.prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0
        and ctypes.util.find_library("seccomp") is not None
        and shutil.which("systemd-analyze") is not None
    )


def sets() -> dict[str, set[str]]:
    """systemd's sets of system calls, as they are written: names of calls and of other sets."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    found: dict[str, set[str]] = {}
    for line in listed.splitlines():
        if line.startswith("@"):
            found[line.split()[0]] = members = set()
        elif line.strip() and not line.strip().startswith("#"):
            members.add(line.strip())
    return found


def allowed(unit: str) -> set[str]:
    """The names of the calls that the unit's filter lets through."""
    known = sets()

    def calls(name: str) -> set[str]:
        return set().union(*(calls(part) for part in known[name])) if name.startswith("@") else {name}

    granted: set[str] = set()
    for said in values(unit, "SystemCallFilter"):
        for name in said.removeprefix("~").split():
            granted = granted - calls(name) if said.startswith("~") else granted | calls(name)
    return granted


def confine(unit: str) -> None:
    """Confine this process for good. Raises OSError where the kernel refuses."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    if values(unit, "NoNewPrivileges") == ["yes"]:
        _done(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        _done(libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
    if values(unit, "LimitCORE") == ["0"]:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(int(values(unit, "UMask")[0], 8))
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(REFUSE)))
    for name in allowed(unit):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are of another architecture
            _done(seccomp.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), ctypes.c_int(number), ctypes.c_uint(0)))
    _done(seccomp.seccomp_load(context))


def _done(code: int) -> None:
    if code != 0:
        raise OSError(ctypes.get_errno() or -code, "the kernel does not confine this process")


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text())
    os.execv(sys.argv[2], sys.argv[2:])
