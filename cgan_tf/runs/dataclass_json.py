"""Dataclasses as JSON and back: between modules travel dataclasses, in files JSON.

A field's key is its name, or the `key` of its metadata. A field of type `float | None` is None
where its value is undefined; JSON has null for that, and for NaN.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from cgan_tf.runs.errors import UserError

Record = TypeVar("Record")


def to_json(value: Any) -> Any:
    """A dataclass, with what it holds, as dicts, lists and plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_key(f): to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def from_json(kind: type[Record], content: Any, where: str) -> Record:
    """The inverse of `to_json` for a dataclass.

    Raises `UserError` naming `where`, the file and what it holds, and the value, for missing or
    unknown keys and for values of another type.
    """
    return _read(kind, content, where)


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where)
    if origin is types.UnionType:  # only `... | None` is used
        return None if value is None else _read(arguments[0], value, where)
    if origin is dict and isinstance(value, dict):
        return {name: _read(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not (origin or kind):
        raise UserError(f"{where}: expected {_name(kind)}, found {value!r:.80}")
    return value


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    fields = {_key(field): field.name for field in dataclasses.fields(kind)}
    if not isinstance(value, dict) or set(value) != set(fields):
        names = set(value) if isinstance(value, dict) else set()
        found = ", ".join(sorted(names ^ set(fields)))
        raise UserError(f"{where}: expected a {kind.__name__}, found names that differ: {found}")
    return kind(
        **{name: _read(hints[name], value[key], f"{where}.{key}") for key, name in fields.items()}
    )


def _key(field: dataclasses.Field) -> str:
    return field.metadata.get("key", field.name)


def _name(kind: Any) -> str:
    return {dict: "an object", tuple: "a list"}.get(typing.get_origin(kind), kind.__name__)
