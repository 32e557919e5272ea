"""Nothing leaves a silo beside the channel that counts: no other module of `silo_node` can open a connection.

Neither by itself nor by what it takes from `privacy`: of that, everything from which a call that dials can be reached
is found in the source, so that a new way out is one whatever it is called.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import privacy
import silo_node

ROOT = Path(silo_node.__file__).parent
KERNEL = Path(privacy.__file__).parent
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
THE_DOOR = "silo_node.egress.channel"
DIALS = {
    "secure_channel",
    "insecure_channel",
    "intercept_channel",
    "create_connection",
    "connect",
    "connect_ex",
    "urlopen",
    "getaddrinfo",
    "wrap_socket",
}
WAYS_OUT = {
    DOOR: {
        "privacy.channel.tls.channel",
        "privacy.channel.one_way.line.Line",
        "privacy.channel.diagnosis.diagnose",
        "privacy.operations.handshake.why_closed",
    },
    "operations/to_aggregator.py": {"privacy.operations.route.checks"},  # no message, and no certificate of ours
}
"""What of `privacy` dials, and may be named in which modules."""
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


def names(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """What is named below a node, in full where it was imported or is the module's own."""
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute):
            yield one.attr
        if isinstance(one, ast.Name | ast.Attribute):
            first, dot, rest = ast.unparse(one).partition(".")
            yield known.get(first, first) + dot + rest


def imported(tree: ast.Module) -> dict[str, str]:
    """Everything that an import binds anywhere in a module, by its name there."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dialling(root: Path, package: str) -> set[str]:
    """The functions and classes of a package, in full, from which a call that dials can be reached."""
    uses: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        module = ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        known = imported(tree)
        own = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        known |= {node.name: f"{module}.{node.name}" for node in own}
        uses |= {f"{module}.{node.name}": set(names(node, known)) for node in own}
    found = {name for name, used in uses.items() if used & DIALS}
    while more := {name for name, used in uses.items() if name not in found and used & found}:
        found |= more
    return found


DIALLING = dialling(KERNEL, "privacy")


@pytest.mark.parametrize("module", MODULES)
def test_what_dials_in_the_kernel_is_reached_by_the_door_alone(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text())
    bound = imported(tree)
    assert (set(names(tree, bound)) | set(bound.values())) & DIALLING == WAYS_OUT.get(module, set())
    door = {name for name in {*names(tree, bound), *bound.values()} if name.startswith(f"{THE_DOOR}.")}
    assert door <= {f"{THE_DOOR}.{name}" for name in ("open_channel", "diagnosed", "why_closed")}, "which count"


def test_the_ways_out_of_the_kernel_are_found(tmp_path: Path) -> None:
    """A twin: a function that dials by another's help, in a module of its own, is one; what only names it is not."""
    assert {"privacy.operations.reach.line", "privacy.operations.handshake.look"} <= DIALLING
    assert not {"privacy.operations.reach.proxy_for", "privacy.channel.tls.host_and_port"} & DIALLING
    (tmp_path / "near.py").write_text("import socket\n\ndef out(): socket.create_connection(('', 1))\n")
    imports = "from kernel import near\nimport kernel.near as by\n"
    (tmp_path / "far.py").write_text(imports + "\ndef quiet(): near\n\nclass Far:\n def go(self): by.out()\n")
    (tmp_path / "plain.py").write_text("import kernel.near\n\ndef go(): return kernel.near.out\n")
    assert dialling(tmp_path, "kernel") == {"kernel.near.out", "kernel.far.Far", "kernel.plain.go"}
