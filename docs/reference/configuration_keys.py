"""Prints docs/reference/configuration.md from the configuration models; `make reference` writes the file."""

import inspect
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from aggregator.configuration import AggregatorConfig
from deploy.consortium.signing import Draft
from imaging.cohorts.labelling import Labelling
from imaging.deidentification.profile import Profile
from imaging.sources.archive import ArchiveFile
from imaging.sources.query import Query
from privacy.token.description import TokenDescription
from silo_node.configuration import SiloConfig

FILES = (
    ("A study draft", Draft, "What `collegium-consortium study sign` reads; sample: `deploy/samples/study.yaml`."),
    ("silo.yaml", SiloConfig, "In a silo's state directory; sample: `deploy/samples/silo.yaml`."),
    (
        "aggregator.yaml",
        AggregatorConfig,
        "In an aggregator's state directory, optional; sample: `deploy/samples/aggregator.yaml`.",
    ),
    ("An archive", ArchiveFile, "What `collegium-silo pull --pacs` reads; sample: `deploy/samples/pacs.yaml`."),
    (
        "A labelling",
        Labelling,
        "What `collegium-silo ingest --labelling` reads; sample: `deploy/samples/labelling.yaml`.",
    ),
    (
        "A token",
        TokenDescription,
        "What `collegium-silo init --pkcs11` and `collegium-consortium init --pkcs11` read, and keep as `pkcs11.yaml` "
        "beside the keys; sample: `deploy/samples/pkcs11.yaml`.",
    ),
    ("A query", Query, "What `collegium-silo pull --query` reads; sample: `deploy/samples/query.yaml`."),
    (
        "A de-identification profile",
        Profile,
        "What `collegium-silo deidentify --profile` and `ingest --profile` read; `deploy/samples/deidentify.yaml` "
        "explains each key.",
    ),
)


def name(kind: Any) -> str:
    """A type as a reader of YAML knows it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(name(part) for part in arguments if part is not NoneType))
    if origin in (tuple, list, frozenset):
        return f"list of {name(arguments[0])}"
    if origin is dict:
        return f"mapping of {name(arguments[0])} to {name(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{one.value}`" for one in kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "{" + ", ".join(kind.model_fields) + "}"
    words = {bool: "true or false", int: "integer", float: "number", str: "text"}
    return words.get(kind, kind.__name__.lower() if isinstance(kind, type) else str(kind))


def limits(metadata: list[Any]) -> str:
    """The bounds of a field."""
    signs = {"gt": "> ", "ge": ">= ", "lt": "< ", "le": "<= "}
    bounds = [
        f"{sign}{getattr(constraint, key)}"
        for constraint in metadata
        for key, sign in signs.items()
        if getattr(constraint, key, None) is not None
    ]
    return f", {' and '.join(bounds)}" if bounds else ""


def rows(model: type[BaseModel], prefix: str = "") -> tuple[list[str], dict[str, type[BaseModel]]]:
    """Table rows of a model's keys, and the models within it by key."""
    lines: list[str] = []
    inner: dict[str, type[BaseModel]] = {}
    for key, field in model.model_fields.items():
        kind = _model(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            more, deeper = rows(kind, f"{prefix}{key}.")
            lines += more
            inner |= {f"{prefix}{key}": kind, **deeper}
            continue
        default = field.get_default(call_default_factory=True)
        shown = "required" if default is PydanticUndefined else f"`{_yaml(default)}`"
        lines.append(f"| `{prefix}{key}` | {name(kind)}{limits(field.metadata)} | {shown} |")
    return lines, inner


def page() -> str:
    """The whole page."""
    parts = [
        "# Configuration keys\n",
        "Made from the code by `make reference`. Configuration is strict YAML: an unknown key, a duplicate or a value",
        "of another type is an error that names its line. Models, transforms and their parameters are listed in",
        "[networks](networks.md) and `imaging/transforms/allowed.py`.\n",
    ]
    for title, model, where in FILES:
        lines, inner = rows(model)
        parts += [f"## {title}\n", f"{where}\n", "| key | value | default |", "|---|---|---|", *lines, ""]
        parts += [f"- `{key}`: {' '.join(inspect.cleandoc(part.__doc__ or '').split())}" for key, part in inner.items()]
        parts += [""] if inner else []
    return "\n".join(parts).rstrip() + "\n"


def _model(annotation: Any) -> Any:
    """The model in an optional section; anything else as it is."""
    parts = [part for part in get_args(annotation) if part is not NoneType]
    one = len(parts) == 1 and get_origin(annotation) in (Union, UnionType)
    return parts[0] if one and isinstance(parts[0], type) and issubclass(parts[0], BaseModel) else annotation


def _yaml(default: object) -> str:
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if default == frozenset():
        return "[]"
    return {(): "[]", "": '""'}.get(default, str(default)) if isinstance(default, str | tuple) else str(default)


if __name__ == "__main__":
    print(page(), end="")
