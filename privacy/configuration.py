"""Strict YAML into frozen Pydantic models: the only loader of studies and local configuration.

Refuses unknown and duplicate keys, wrong types and anything but plain YAML data (no tags, no
anchors that expand without bound), and names the line of what is wrong. It does not know what any
configuration means.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from privacy.errors import ConfigError

MAX_BYTES = 1_000_000
"""A configuration file larger than this is refused before it is parsed."""
_SHOWN = 5
_UNKNOWN = "extra_forbidden"


class Strict(BaseModel):
    """Base of all configuration models: frozen, no coercion, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


ModelT = TypeVar("ModelT", bound=BaseModel)


def load(path: Path, model: type[ModelT]) -> ModelT:
    """Read and validate one YAML file.

    Raises:
        ConfigError: the file is missing, too large, not YAML, or does not fit `model`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path.name}: {error.strerror}; check the file name and its permissions",
            code="config.unreadable",
        ) from error
    return parse(data, model, name=path.name)


def parse(data: bytes, model: type[ModelT], *, name: str) -> ModelT:
    """Validate YAML bytes against `model`; `name` is how errors call the file.

    Raises:
        ConfigError: as for `load`.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{name} is larger than {MAX_BYTES} bytes; it is not a configuration file")
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=_NoAliases)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line} is not valid YAML; correct it and try again") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name} is empty or not a mapping; compare it with the sample configuration")
    lines: dict[tuple[str | int, ...], int] = {}
    _index(root, (), lines, name)
    try:
        plain = yaml.SafeLoader("").construct_document(root)
        return model.model_validate_json(json.dumps(plain, allow_nan=False))
    except ValidationError as error:
        raise ConfigError(_explain(error, lines, name)) from error
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise ConfigError(f"{name} holds what is not plain data (dates need quotes; no tags, no NaN)") from error


class _NoAliases(yaml.SafeLoader):
    """Refuses aliases, which can expand without bound."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are refused", mark)
        return super().compose_node(parent, index)


def _index(node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], name: str) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                raise ConfigError(f"{name} line {line}: duplicate or unusable key; keep one of them")
            seen.add(key.value)
            _index(value, (*path, key.value), lines, name)
            lines[(*path, key.value)] = line
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _index(value, (*path, position), lines, name)


def _explain(error: ValidationError, lines: dict[tuple[str | int, ...], int], name: str) -> str:
    """All that is wrong, unknown keys first: where one is misspelt, the right one is missing because of it."""
    found = sorted(error.errors(include_url=False, include_input=False), key=lambda one: one["type"] != _UNKNOWN)
    said = [_problem(one, lines) for one in found[:_SHOWN]]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{name} {'; '.join(said)}{more}"


def _problem(one: Mapping[str, Any], lines: dict[tuple[str | int, ...], int]) -> str:
    location = tuple(one["loc"])
    known = location
    while known and known not in lines:
        known = known[:-1]
    where = f"line {lines.get(known, 1)}"
    key = ".".join(str(part) for part in location) or "the document"
    # A key comes from whoever wrote the file, for instance a silo's request: it must not speak to the terminal.
    key = "".join(letter if letter.isprintable() else "?" for letter in key[:100])
    if one["type"] == _UNKNOWN:
        return f"{where}: unknown key '{key}'; remove it or correct its spelling"
    if one["type"] == "missing":
        return f"{where}: the key '{key}' is missing"
    return f"{where}: {key}: {one['msg']}"
