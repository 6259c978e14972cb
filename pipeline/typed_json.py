"""Read JSON, check it against annotations, and convert it to dataclasses.

One reader for all files that may be damaged or come from anyone. A validation library would save few lines: unions of
dataclasses, finite numbers and keys that later versions add need code of their own.
"""

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

MAX_DEPTH = 100  # levels of objects and lists; the layers of a nested model take several each
MAX_SHOWN = 40  # characters of a wrong value in a message

AnyNumber = Annotated[float, "NaN and infinity too"]
"""The kind of a number that need not be finite; a number of kind float must be."""

NAMES = {bool: "true or false", int: "an integer", float: "a finite number", str: "a text", type(None): "null"}


def parse(kind: Any, text: str | bytes, make_object: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
    """Return JSON as a kind.

    Args:
        kind: As for `convert`.
        text: The JSON, in UTF-8 if it is bytes.
        make_object: Makes an object from its entries.

    Raises:
        ValueError: The text is no JSON, has too many levels, or is of another kind.
    """
    try:
        content = json.loads(text, object_pairs_hook=make_object)
    except RecursionError:
        raise ValueError(f"expected at most {MAX_DEPTH} levels; found more") from None
    check_depth(content)
    return convert(kind, content)


def check_depth(content: Any) -> None:
    """Check that content has few levels, so that code which visits them needs no limit of its own.

    Raises:
        ValueError: It has more than MAX_DEPTH.
    """
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for entry in level
            if isinstance(entry, dict | list)
            for child in (entry.values() if isinstance(entry, dict) else entry)
        ]
        if not level:
            return
    raise ValueError(f"expected at most {MAX_DEPTH} levels; found more")


def convert(kind: Any, value: Any, key: str = "") -> Any:
    """Check a value against a kind, and return it as that kind.

    Args:
        kind: None, bool, int, float, AnyNumber, str, Any, a Literal, a union, a list, tuple or dict of kinds, a typed
            dict, or a dataclass. A typed dict may have other keys too; a dataclass may not.
        value: Content that json.loads returned. Its dicts and lists are changed.
        key: The dotted key of the value in its file, for the message.

    Returns:
        The value: a list as a list or tuple, an object as a dict or dataclass.

    Raises:
        ValueError: The value is of another kind. The message names the key.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value, key)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _wrong(key, f"one of {', '.join(arguments)}", value)
        return value
    if origin in (list, tuple):
        return _sequence(origin, arguments, value, key)
    if origin in (dict, Mapping):
        for name, entry in _object(value, key).items():
            value[name] = convert(arguments[1], entry, _joined(key, name))
        return value
    if is_typeddict(kind):
        return _typed_dict(kind, value, key)
    if is_dataclass(kind):
        return _dataclass(kind, value, key)
    number = origin is Annotated or kind is float
    if number and type(value) in (int, float) and (origin is Annotated or _is_finite(value)):
        return value
    if number or type(value) is not (type(None) if kind is None else kind):
        raise _wrong(key, "a number" if origin is Annotated else NAMES[kind or type(None)], value)
    return value


def _one_of(kinds: tuple[Any, ...], value: Any, key: str) -> Any:
    """Convert to the first kind that fits. The message of another value is that of the first kind."""
    if value is None and type(None) in kinds:
        return None
    problems = []
    for kind in kinds:
        try:
            return convert(kind, value, key)
        except ValueError as error:
            problems.append(error)
    raise problems[0]


def _sequence(origin: type, kinds: tuple[Any, ...], value: Any, key: str) -> Any:
    if not isinstance(value, list | tuple):  # dataclasses.asdict keeps tuples
        raise _wrong(key, "a list", value)
    if origin is tuple and kinds[-1] is not Ellipsis:
        if len(value) != len(kinds):
            raise _wrong(key, f"a list of {len(kinds)}", value)
        return tuple(convert(kind, entry, _joined(key, str(i))) for i, (kind, entry) in enumerate(zip(kinds, value)))
    return origin(convert(kinds[0], entry, _joined(key, str(index))) for index, entry in enumerate(value))


def _typed_dict(kind: Any, value: Any, key: str) -> dict[str, Any]:
    content = _object(value, key)
    for name, entry_kind in _hints(kind).items():
        if name in content:
            content[name] = convert(entry_kind, content[name], _joined(key, name))
        elif name in kind.__required_keys__:
            raise ValueError(f"expected the entry {_joined(key, name)!r}; found none")
    return content


def _dataclass(kind: Any, value: Any, key: str) -> Any:
    content, known = _object(value, key), {item.name: item for item in fields(kind)}
    for name in content:
        if name not in known:
            raise ValueError(f"{_joined(key, name)}: expected one of {', '.join(known)}; found another entry")
    for name, item in known.items():
        if name not in content and item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"expected the entry {_joined(key, name)!r}; found none")
    hints = _hints(kind)
    return kind(**{name: convert(hints[name], entry, _joined(key, name)) for name, entry in content.items()})


def _object(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(key, "an object", value)
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _is_finite(value: float) -> bool:
    return abs(value) < 2**1000 if isinstance(value, int) else math.isfinite(value)  # a larger integer is no float


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _wrong(key: str, expected: str, value: Any) -> ValueError:
    text = repr(value)
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return ValueError(f"{key + ': ' if key else ''}expected {expected}; found {shown}")
