"""The rules of `deploy/firewall`, loaded for real in a network of the test's own."""

import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

RULES = ROOT / "deploy" / "firewall" / "collegium-aggregator.nft"
PROGRAM = """
import socket

def dial(port, family=socket.AF_INET, origin=None):
    line = socket.socket(family)
    line.settimeout(1)
    if origin:
        line.bind((origin, 0))
    try:
        line.connect(('::1' if family == socket.AF_INET6 else '127.0.0.1', port))
    except ConnectionRefusedError:
        line.close()
        return None
    return line

for family, here in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    servers = []
    for port in (8443, 8444, 9000):
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((here, port))
        server.listen(50)
        servers.append(server)
    lines = [dial(port, family) for port in [8443] * 7 + [8444] * 3]
    assert [line is not None for line in lines] == [True] * 8 + [False] * 2, lines
    others = [dial(9000, family) for _ in range(20)]
    assert all(others), 'another port is not counted'
    if family == socket.AF_INET:
        assert dial(8443, origin='127.0.0.2') is not None, 'another address has its own'
    for line in [*lines, *others, *servers]:
        if line is not None:
            line.close()
"""


def missing() -> str | None:
    if shutil.which("nft") is None or shutil.which("ip") is None:
        return "nftables or iproute2 is not installed"
    tried = subprocess.run(["unshare", "-rn", "nft", "list", "ruleset"], capture_output=True, check=False)
    return "no network of its own, or no nftables in it, is permitted here" if tried.returncode else None


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_the_ninth_connection_of_one_address_is_refused_and_nobody_elses() -> None:
    load = 'ip link set lo up && nft --file "$0" && nft --file "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", load, str(RULES), sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
