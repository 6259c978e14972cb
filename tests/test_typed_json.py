"""Content of JSON files against the types that it must have."""

import json
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import pytest

from pipeline.typed_json import MAX_DEPTH, AnyNumber, check_depth, convert


@dataclass(frozen=True)
class Point:
    x: float
    names: tuple[str, ...] = ()


class Record(TypedDict, total=False):
    count: int
    points: list[Point]
    state: Literal["on", "off"]
    note: str | None


def test_objects_become_dataclasses_at_every_level():
    content = json.loads('{"count": 2, "points": [{"x": 1, "names": ["a"]}, {"x": 0.5}], "state": "on", "note": null}')
    expected = {"count": 2, "points": [Point(1, ("a",)), Point(0.5)], "state": "on", "note": None}
    assert convert(Record, content) == expected


def test_entries_of_a_later_version_are_kept():
    assert convert(Record, {"colour": [1]}) == {"colour": [1]}


def test_numbers_that_are_not_finite_are_accepted_only_on_purpose():
    content = json.loads("[NaN, Infinity]")
    assert len(convert(list[AnyNumber], content)) == 2
    with pytest.raises(ValueError, match="0: expected a finite number; found nan"):
        convert(list[float], content)


WRONG: list[tuple[Any, str, str]] = [
    (Record, "[]", r"^expected an object; found \[\]"),
    (Record, '{"count": "2"}', "count: expected an integer; found '2'"),
    (Record, '{"count": true}', "count: expected an integer; found True"),
    (Record, '{"count": 1.0}', "count: expected an integer; found 1.0"),
    (Record, '{"state": "up"}', "state: expected one of on, off; found 'up'"),
    (Record, '{"state": [1]}', r"state: expected one of on, off; found \[1\]"),
    (Record, '{"note": 3}', "note: expected a text; found 3"),
    (Record, '{"points": [{"x": 1}, {"x": null}]}', "points.1.x: expected a finite number; found None"),
    (Record, '{"points": [{}]}', "expected the entry 'points.0.x'; found none"),
    (Record, '{"points": [{"x": 1, "y": 2}]}', "points.0.y: expected one of x, names; found another entry"),
    (Point, '{"x": 1, "names": "abc"}', "names: expected a list; found 'abc'"),
    (tuple[int, int], "[1, 2, 3]", "expected a list of 2"),
    (dict[str, float], '{"a": 1e999}', "a: expected a finite number; found inf"),
    (float, "1" + "0" * 400, "expected a finite number; found 1000"),
]


@pytest.mark.parametrize(("kind", "text", "message"), WRONG)
def test_content_of_another_type_is_refused_with_its_key(kind, text, message):
    with pytest.raises(ValueError, match=message):
        convert(kind, json.loads(text))


def test_content_with_too_many_levels_is_refused():
    check_depth(json.loads("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)))
    with pytest.raises(ValueError, match="at most 100 levels"):
        check_depth(json.loads("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)))
