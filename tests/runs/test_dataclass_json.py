"""Dataclasses as JSON and back, and what is no such JSON."""

import dataclasses
import json
import math

import pytest

from cgan_tf.runs.dataclass_json import from_json, to_json
from cgan_tf.runs.errors import UserError


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    value: float | None


@dataclasses.dataclass(frozen=True)
class Whole:
    count: int
    share: float
    parts: tuple[Part, ...]
    by_name: dict[str, Part]
    patients: int = dataclasses.field(metadata={"key": "clients"})


WHOLE = Whole(3, 0.5, (Part("a", 1.5), Part("b", None)), {"c": Part("c", 2.0)}, 7)
JSON = {
    "count": 3,
    "share": 0.5,
    "parts": [{"name": "a", "value": 1.5}, {"name": "b", "value": None}],
    "by_name": {"c": {"name": "c", "value": 2.0}},
    "clients": 7,
}


def test_there_and_back():
    assert to_json(WHOLE) == JSON
    assert list(to_json(WHOLE)) == list(JSON)  # in the order of the fields
    assert from_json(Whole, json.loads(json.dumps(JSON)), "x.json") == WHOLE


def test_what_is_not_a_number_is_null():
    assert to_json(Part("a", math.nan)) == {"name": "a", "value": None}


def test_a_whole_number_may_stand_for_a_float():
    found = from_json(Part, {"name": "a", "value": 2}, "x.json")
    assert (found.value, type(found.value)) == (2.0, float)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"count": 0.5}, r"x\.json\.count: expected int, found 0\.5"),
        ({"count": True}, r"x\.json\.count: expected int, found True"),
        ({"share": None}, r"x\.json\.share: expected float, found None"),
        ({"parts": {}}, r"x\.json\.parts: expected a list, found \{\}"),
        ({"parts": [{"name": "a"}]}, r"x\.json\.parts\[0\]: expected a Part, .* differ: value"),
        ({"by_name": []}, r"x\.json\.by_name: expected an object, found \[\]"),
        ({"by_name": {"c": 1}}, r"x\.json\.by_name\.c: expected a Part"),
        ({"more": 1}, r"x\.json: expected a Whole, found names that differ: more"),
    ],
)
def test_what_is_wrong_is_named(changes, complaint):
    with pytest.raises(UserError, match=complaint):
        from_json(Whole, JSON | changes, "x.json")
