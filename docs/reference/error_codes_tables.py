"""Prints docs/reference/error-codes.md from the places in the code that raise them: `make reference`.

A code is what is given as `code=` to an error, by its text or by a constant's name, and each class's own. What a place
puts into a sentence only when it happens stands as "...".
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from privacy import errors
from privacy.errors import CollegiumError

ROOT = Path(__file__).parents[2]
PACKAGES = ("aggregator", "compliance", "deploy", "imaging", "privacy", "silo_node")
CODE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
MOST = 3
"""Sentences that are shown of a code."""
OTHER = {"ImagingError": "11", "StorageRefused": "9", "ArchiveUnreachable": "75", "Doubtful": "0", "NotChecked": "0"}
"""Exit codes of classes that are no errors of the kernel, or end nothing."""
HEAD = """# Error codes

Every error is one sentence with its code in brackets, `[budget.exceeded]`; in events and metrics the code stands alone.
The sentence says what to do; the codes never change meaning. The exit code is that of the error's class ([exit
codes](exit-codes.md)), and 0 that of a warning. Codes of images and series that were put aside have [a page of their
own](rejections.md).

This page is printed by `docs/reference/error_codes_tables.py`; a test compares it.

| code | exit code | what is said |
|---|---|---|"""


class Module:
    """One source file, its constants and what it imports by name."""

    def __init__(self, path: Path) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self.tree = ast.parse(path.read_text())
        self.constants: dict[str, str] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                        self.constants[target.id] = node.value.value
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module, alias.name)


def text(node: ast.expr | None) -> str:
    """A literal as it would be said, with "..." for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return ""


def resolve(node: ast.expr, module: Module, modules: Mapping[str, Module]) -> str:
    """The text of a code that stands there itself or as a constant, of this module or of the one it is from."""
    if isinstance(node, ast.Name):
        if node.id in module.constants:
            return module.constants[node.id]
        source, name = module.imported.get(node.id, ("", ""))
        return modules[source].constants.get(name, "") if source in modules else ""
    return text(node)


def raised(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[str, str, str]]:
    """Code, name of the class and sentence of each call with a code, and of each class that has one of its own."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
                if isinstance(target, ast.Name) and target.id == "default_code":
                    yield text(part.value), node.name, (ast.get_docstring(node) or "").splitlines()[0]
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            given = next((word.value for word in node.keywords if word.arg == "code"), None)
            if given is None and name == "ImagingError" and len(node.args) > 1:
                given = node.args[1]
            if given is not None and CODE.fullmatch(code := resolve(given, module, modules)):
                yield code, name, text(node.args[0]) if node.args else ""


def exit_code(name: str, bases: Mapping[str, str]) -> str:
    """That of a class of the kernel, or of the one that it is made of."""
    while name not in OTHER and not hasattr(errors, name) and name in bases:
        name = bases[name]
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, CollegiumError):
        return str(kind.exit_code)
    return OTHER[name]


def main() -> None:
    """Print the page."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    modules = {module.name: module for module in map(Module, paths)}
    classes = [node for module in modules.values() for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    bases = {node.name: node.bases[0].id for node in classes if node.bases and isinstance(node.bases[0], ast.Name)}
    exits: dict[str, set[str]] = defaultdict(set)
    said: dict[str, list[str]] = defaultdict(list)
    for module in modules.values():
        for code, name, sentence in raised(module, modules):
            exits[code].add(exit_code(name, bases))
            if sentence and sentence not in said[code]:
                said[code].append(sentence)
    print(HEAD)
    for code in sorted(exits):
        known = sorted(exits[code], key=lambda number: (len(number), number))
        sentences = [" ".join(one.split()).replace("|", "/") for one in said[code]]
        more = [f"and {len(sentences) - MOST} more like these"] if len(sentences) > MOST else []
        print(f"| `{code}` | {', '.join(known)} | {'<br>'.join(sentences[:MOST] + more)} |")


if __name__ == "__main__":
    main()
