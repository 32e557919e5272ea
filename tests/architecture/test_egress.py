"""Nothing leaves a silo beside the channel that counts: no other module of `silo_node` can open a connection."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import silo_node

ROOT = Path(silo_node.__file__).parent
DOOR = "egress/channel.py"
NETWORK = frozenset(
    {
        "socket",
        "socketserver",
        "ssl",
        "http",
        "urllib",
        "requests",
        "smtplib",
        "ftplib",
        "asyncio",
        "xmlrpc",
        "telnetlib",
    }
    | {"grpc", "pynetdicom", "dicomweb_client", "multiprocessing.connection", "subprocess"}
)
ALLOWED = {
    DOOR: {"grpc"},  # the door itself
    "connection/patience.py": {"grpc"},  # names gRPC's error; makes no channel, see below
}
"""Modules that may import something that can reach a network, and what."""
DIALS = {
    "secure_channel",
    "insecure_channel",
    "intercept_channel",
    "create_connection",
    "connect",
    "connect_ex",
    "urlopen",
}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_other_module_can_reach_the_network(module: str) -> None:
    found = {name for name in NETWORK for seen in imports(ROOT / module) if seen == name or seen.startswith(name + ".")}
    assert found <= ALLOWED.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_only_the_door_makes_a_channel(module: str) -> None:
    source = (ROOT / module).read_text()
    if module == DOOR:
        assert "intercept_channel(tls.channel(" in source
        assert "Line(identity, target, way, lambda method, message: _count(egress, method, message), proxy)" in source
        return
    dials = calls(ROOT / module) & (DIALS)
    assert not dials - ({"connect"} if "sqlite3" in source else set())
    assert "privacy.channel.tls" not in set(imports(ROOT / module)) or "tls.channel(" not in source
    assert "tls.channel(" not in source
    assert "privacy.channel.one_way.line.Line" not in set(imports(ROOT / module))
    assert "one_way_channel" not in source


def test_the_ways_out_are_where_this_test_looks_for_them() -> None:
    """A twin: the words that are searched for are those that the door uses."""
    assert "intercept_channel" in calls(ROOT / DOOR)
    assert "grpc" in set(imports(ROOT / DOOR))
