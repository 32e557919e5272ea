"""The JSON Schema of a record, from the dataclasses that it is made of; kept as data/report.schema.json for others.

`python -m compliance.schema` prints it; a test compares. Strict: every key must be there, and no other may be.
"""

import json
import types
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from compliance.report import FORMAT, Report
from privacy.digest import Json
from privacy.dp.events import DpSgdEvent, UnprotectedEvent, to_json
from privacy.errors import CorruptState

FILE: Final = Path(__file__).parent / "data" / "report.schema.json"
_SIMPLE: Final[dict[Any, dict[str, Json]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"anyOf": [{"type": "number"}, {"const": "unlimited"}]},
    types.NoneType: {"type": "null"},
}


def schema() -> dict[str, Json]:
    """The schema (JSON Schema 2020-12)."""
    found: dict[str, Json] = {}
    _of(Report, found)
    report = found.pop("Report")
    if not isinstance(report, dict):
        raise TypeError("a report is an object")
    properties = report["properties"]
    if isinstance(properties, dict):
        properties["format"] = {"const": FORMAT}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{FORMAT.replace('/', ':')}",
        "title": "The record of a privacy-budget report",
        **report,
        "$defs": dict(sorted(found.items())),
    }


def validate(record: Json) -> None:
    """Check that a record has the form of one.

    Raises:
        CorruptState: it has not; the message names the place.
    """
    error = next(_validator().iter_errors(record), None)
    if error is not None:
        raise CorruptState(f"the record does not have its form at {error.json_path}", code="report.record")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(FILE.read_bytes()))


def _of(kind: Any, found: dict[str, Json]) -> dict[str, Json]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SIMPLE:
        return dict(_SIMPLE[kind])
    if origin is Annotated:
        return _of(arguments[0], found)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(one, found) for one in arguments]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], found)}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _of(arguments[0], found)}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_of(one, found) for one in arguments], "items": False}
    name: str = kind.__name__
    if name not in found:
        found[name] = {}  # a place, should a type hold itself
        found[name] = _object(kind, found)
    return {"$ref": f"#/$defs/{name}"}


def _object(kind: Any, found: dict[str, Json]) -> dict[str, Json]:
    properties: dict[str, Json] = {}
    if kind in (DpSgdEvent, UnprotectedEvent):
        for key, value in to_json(DpSgdEvent(1, 1, 1) if kind is DpSgdEvent else UnprotectedEvent(1)).items():
            properties[key] = {"const": value} if isinstance(value, str) else {"type": "number"}
    elif is_dataclass(kind):
        hints = get_type_hints(kind)
        properties |= {one.name: _of(hints[one.name], found) for one in fields(kind)}
    elif issubclass(kind, BaseModel):
        hints = get_type_hints(kind)
        properties |= {name: _of(hints[name], found) for name in kind.model_fields}
    else:
        raise TypeError(f"{kind} is not part of a report")
    required: list[Json] = [*sorted(properties)]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1, sort_keys=True))
