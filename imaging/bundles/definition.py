"""The network of a local MONAI Bundle, read as plain data: nothing of a bundle is executed here, and nothing imported.

A configuration is JSON or YAML without aliases. Its `network_def` names a class of `monai.networks.nets` and gives
plain arguments; an argument may be a reference (`@id`, `@a::b`, `@a#b`) to a plain value of the same file. A `$`
expression, a `%` macro, a key that begins with `_` and a class from elsewhere refuse it. Which classes and
arguments are networks of ours is not decided here.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import yaml

from imaging import bounded
from imaging.errors import ImagingError

MAX_BYTES = 1_000_000
"""A larger configuration is refused unread."""

MAX_VALUES = 10_000
MAX_DEPTH = 20
NETWORK = "network_def"
_TARGET = re.compile(r"(?:monai\.networks\.nets\.(?:[a-z0-9_]+\.)?)?([A-Za-z][A-Za-z0-9_]{0,60})")
_REFERENCE = re.compile(r"@([A-Za-z0-9_]+(?:(?:#|::)[A-Za-z0-9_]+)*)")

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True)
class Definition:
    """A network as a bundle describes it.

    Attributes:
        network: class in `monai.networks.nets`.
        arguments: its keyword arguments, plain values.
        sha256: of the configuration file, hex.
    """

    network: str
    arguments: Mapping[str, Plain]
    sha256: str


def read(path: Path, sha256: str | None = None) -> Definition:
    """The network of a bundle's configuration, such as `configs/inference.json`.

    Args:
        path: a .json, .yaml or .yml file.
        sha256: what the file must hash to, where it is pinned.

    Raises:
        ImagingError: `bundle.unreadable`, `bundle.digest`, `bundle.format`, `bundle.no_network`, `bundle.target`,
            `bundle.expression`, `bundle.reference`.
    """
    try:
        data = bounded.read(path, MAX_BYTES)
    except OSError as error:
        raise ImagingError(
            f"the bundle's configuration cannot be read ({error.strerror}); check the file", "bundle.unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise ImagingError(f"the bundle's configuration is larger than {MAX_BYTES} bytes", "bundle.unreadable")
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ImagingError("the bundle's configuration is not the one that is pinned; get that one", "bundle.digest")
    configuration = _parsed(data, path.suffix)
    if NETWORK not in configuration:
        raise ImagingError(f"the bundle's configuration has no {NETWORK}; name another file of it", "bundle.no_network")
    resolved = _Resolver(configuration).value(configuration[NETWORK], network=True)
    if not isinstance(resolved, dict) or "_target_" not in resolved:
        raise ImagingError(f"the bundle's {NETWORK} does not name a class", "bundle.no_network")
    target = resolved.pop("_target_")
    resolved.pop("_desc_", None)
    match = _TARGET.fullmatch(target) if isinstance(target, str) else None
    if match is None:
        raise ImagingError("the bundle's network is not a class of monai.networks.nets", "bundle.target")
    return Definition(match[1], MappingProxyType(resolved), digest)


class _NoAliases(yaml.SafeLoader):
    """Plain YAML data, without aliases, which can expand without bound, and without duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return _unique(
            [
                (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                for key, value in node.value
            ]
        )


def _parsed(data: bytes, suffix: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
        if suffix == ".json":
            parsed = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        elif suffix in (".yaml", ".yml"):
            parsed = yaml.load(text, Loader=_NoAliases)  # noqa: S506 - a SafeLoader
        else:
            raise ValueError("suffix")
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ImagingError(
            "the bundle's configuration is not plain JSON or YAML (no aliases, no duplicate keys)", "bundle.format"
        ) from error
    if not isinstance(parsed, dict):
        raise ImagingError("the bundle's configuration is not a mapping", "bundle.format")
    return parsed


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs) or not all(isinstance(key, str) for key in made):
        raise ValueError("key")
    return made


def _refuse_constant(_: str) -> float:
    raise ValueError("constant")


class _Resolver:
    """Turns a value with references into a plain one, of bounded size."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._configuration = configuration
        self._values = 0

    def value(self, given: Any, depth: int = 0, *, network: bool = False) -> Plain:
        """A plain value; `network`: the mapping that may have a `_target_`."""
        self._values += 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            raise ImagingError(
                "the bundle's network is nested too deeply, refers to itself or is too large", "bundle.reference"
            )
        if isinstance(given, str):
            return self._text(given, depth, network=network)
        if isinstance(given, dict):
            self._refuse_special(given, network=network)
            return {key: self.value(item, depth + 1) for key, item in given.items()}
        if isinstance(given, list):
            return [self.value(item, depth + 1) for item in given]
        if given is None or isinstance(given, bool | int) or (isinstance(given, float) and math.isfinite(given)):
            return given
        raise ImagingError("the bundle's network has an argument that is not plain data", "bundle.format")

    def _text(self, text: str, depth: int, *, network: bool) -> Plain:
        if text.startswith(("$", "%")) or "%" in text:
            raise ImagingError(
                "the bundle's network needs an expression or a macro, which is not executed; write its values out",
                "bundle.expression",
            )
        if "@" not in text:
            return text
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise ImagingError("the bundle's network has a reference that is not plain", "bundle.reference")
        return self.value(self._find(match[1]), depth + 1, network=network)

    def _find(self, identifier: str) -> Any:
        found: Any = self._configuration
        for part in re.split("#|::", identifier):
            if isinstance(found, dict) and part in found:
                found = found[part]
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                raise ImagingError("the bundle's network refers to what its configuration lacks", "bundle.reference")
        return found

    def _refuse_special(self, given: Mapping[str, Any], *, network: bool) -> None:
        special = {key for key in given if key.startswith("_")} - ({"_target_", "_desc_"} if network else set())
        if special:
            raise ImagingError(
                "the bundle's network has a part that is built by code of its own; write its values out",
                "bundle.expression",
            )
