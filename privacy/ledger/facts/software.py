"""Which code and libraries a party runs, in its ledger: at the first start, and at each that runs others.

The digest is of the files that this installation consists of, so that whoever has the same release can compute the
same. A party that runs other code than it says can enter anything: this shows drift, not honesty.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable

from privacy.digest import Json, protocol_hash
from privacy.ledger.store import Ledger

LIBRARIES = (
    "cryptography", "dp-accounting", "grpcio", "monai", "numpy", "opacus", "pydicom", "tenseal", "torch",
)  # fmt: skip
"""What mathematics, keys and messages rest on; those that are not installed are left out."""
_NOT_CODE = ("__pycache__",)


def enter(ledger: Ledger, packages: Sequence[str]) -> None:
    """Make the ledger say what runs here, unless it says so.

    Args:
        ledger: the party's.
        packages: those of ours that its program is made of.

    Raises:
        StorageError: the disk refuses.
    """
    body = inventory(packages)
    last = next((entry.body for entry in reversed(ledger.entries) if entry.kind == "software"), None)
    if last != body:
        ledger.append("software", body)


def inventory(packages: Sequence[str]) -> dict[str, Json]:
    """Version, digest of the code (hex) and versions of libraries."""
    content = {path: data for name in packages for path, data in _content(files(name), name)}
    libraries: dict[str, Json] = {"python": platform.python_version()}
    for name in LIBRARIES:
        if found := _version(name):
            libraries[name] = found
    return {"version": _version("collegium"), "code": code_digest(content), "libraries": libraries}


def code_digest(content: Mapping[str, bytes]) -> str:
    """Digest (hex) of the files of packages, by path with `/`; bytecode is not among them."""
    paths = sorted(content, key=lambda path: path.split("/"))
    return protocol_hash("code", *(field for path in paths for field in (path.encode(), content[path]))).hex()


def _content(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    """Every file below a package, with its path."""
    for part in folder.iterdir():
        if part.is_dir() and part.name not in _NOT_CODE:
            yield from _content(part, f"{path}/{part.name}")
        elif part.is_file():
            yield f"{path}/{part.name}", part.read_bytes()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
