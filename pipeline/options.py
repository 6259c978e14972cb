"""Declare an option once: type, default, help, limits, and its effect on results.

The command line and the files under configs/ can set declared options only. From a declaration follow its validation,
`--help`, docs/config.md, the rules for resuming a run, and the paths that a container mounts.
"""

import math
import os
from collections.abc import Collection, Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import ConfigError, nearest

LARGEST = 1_000_000  # of options that declare a smallest value and no largest one
UNLIMITED = ("seed", "decay_steps", "first_decay_steps", "warmup_steps", "boundaries")  # arguments of Keras objects
CHOICE_GROUPS = ("data", "model", "objective", "training")  # sections whose class is chosen by name
READ, WRITE = "read", "write"  # how the program uses the path that an option holds


def option(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    above: float | None = None,
    max: float | None = None,
    below: float | None = None,
    choices: Collection[str | int] = (),
    required: bool = False,
    keras: str | None = None,
    path: str | None = None,
    changes_result: bool = True,
) -> Any:
    """Declare one option of an `Options` class.

    Args:
        default: The default value. A list or dict is copied for each instance.
        help: One line for `--help` and docs/config.md, with the unit if there is one.
        min: The smallest value allowed; of each entry for a list or dict.
        above: The largest value that is too small.
        max: The largest value allowed; LARGEST if neither it nor `below` is given, so that a mistyped number is refused
            before it takes all memory or never ends.
        below: The smallest value that is too large.
        choices: The values allowed.
        required: Whether an empty value is refused.
        keras: The kind of Keras object the value names ("layer", "loss", "metric", "initializer", "activation", ...).
        path: READ or WRITE if the value is a path. A path never changes the result: the data's fingerprint does.
        changes_result: Whether another value gives other weights. If not, it may change when a run is resumed.
    """
    if max is None and below is None and (min is not None or above is not None):
        max = LARGEST
    metadata = {
        "help": help,
        "limits": {"min": min, "above": above, "max": max, "below": below},
        "choices": tuple(choices),
        "required": required,
        "keras": keras,
        "path": path,
        "changes_result": changes_result and path is None,
    }
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(owner: type, help: str, *, changes_result: bool = True, caller_only: bool = False) -> Any:
    """Declare a group of options: a field that holds an instance of another `Options` class.

    Args:
        owner: The class.
        help: One line for `--help` and docs/config.md.
        changes_result: Whether the options may change the weights.
        caller_only: Whether the caller of a command sets these options, and never the stored config of a run. For
            paths this always holds.
    """
    metadata = {"help": help, "section": owner, "changes_result": changes_result, "caller_only": caller_only}
    return field(default_factory=owner, metadata=metadata)


@dataclass
class Options:
    """Base class of every dataclass of options. Values are validated when an instance is created, and never changed.

    Attributes:
        key: The dotted key of the section in the config, for messages.
        choice: The name by which a member of a group is chosen: that of its file.
    """

    key: ClassVar[str] = ""
    choice: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.choice = cls.__module__.rpartition(".")[2]

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.metadata.get("path"):
                setattr(self, item.name, with_home(getattr(self, item.name)))
            if not is_section(item):
                check_value(self.place(item.name), getattr(self, item.name), item.metadata)
        self.check()

    def check(self) -> None:
        """Check rules that concern several options.

        Raises:
            ConfigError: The options contradict each other.
        """

    def place(self, name: str) -> str:
        """Return the dotted key of one option of this section."""
        return f"{self.key}.{name}" if self.key else name


def with_home(path: Any) -> Any:
    """Replace a leading `~/` of a path by the home folder of the caller: shells do not expand it after `=`.

    A container has another home folder, so its launcher sets CALLER_HOME.
    """
    if not isinstance(path, str) or not path.startswith("~/"):
        return path
    return str(Path(os.environ.get("CALLER_HOME") or Path.home()) / path.removeprefix("~/"))


def choices(config: Options) -> dict[str, str]:
    """Return the chosen member of each group of a config: {"data": "digits", "model": "mlp", ...}."""
    return {group: getattr(config, group).choice for group in CHOICE_GROUPS}


def is_section(item: Field[Any]) -> bool:
    """Return whether a dataclass field holds a section rather than an option."""
    return "section" in item.metadata


def walk(owner: Options, prefix: str = "") -> Iterator[tuple[str, Any, Field[Any]]]:
    """Yield (dotted key, value, field) of every option of a config and of its sections."""
    for item in fields(owner):
        value = getattr(owner, item.name)
        if is_dataclass(value):
            yield from walk(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value, item


def result_options(owner: Options, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every option that decides the weights, dicts split into their entries."""
    for item in fields(owner):
        value = getattr(owner, item.name)
        if not item.metadata["changes_result"]:
            continue
        if is_dataclass(value):
            yield from result_options(value, f"{prefix}{item.name}.")
        else:
            yield from flatten({item.name: value}, prefix)


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested dicts."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), value


# ---- validation -----------------------------------------------------------------------------------------------------


def check_value(place: str, value: Any, rules: Any) -> None:
    """Check one value against its declaration.

    Raises:
        ConfigError: The value is missing, of another form, or outside its limits.
    """
    if rules["required"] and not value:
        raise ConfigError(f"{place}: expected a value; found none. Set it on the command line: {place}=...")
    if rules["keras"]:
        check_keras_form(place, value)
        return
    for key, entry in entries(place, value):
        if isinstance(entry, str) and "\0" in entry:
            raise ConfigError(f"{key}: expected text without NUL characters; found {entry!r}.")
        if rules["choices"] and entry not in rules["choices"]:
            allowed = [as_typed(choice) for choice in rules["choices"]]
            raise ConfigError(
                f"{key}: expected one of {', '.join(allowed)}; found {entry!r}. {nearest(str(entry), allowed)}"
            )
        if isinstance(entry, (int, float)) and not isinstance(entry, bool):
            check_limits(key, entry, **rules["limits"])


def as_typed(choice: Any) -> str:
    """Return a value that an option allows as it is typed: true for True."""
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def entries(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of an option's entries: those of a list or dict, or the value itself unless it is null."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield f"{place}.{name}", entry
    elif isinstance(value, list):
        for entry in value:
            yield place, entry
    elif value is not None:
        yield place, value


def check_limits(
    place: str, value: float, *, min: float | None, above: float | None, max: float | None, below: float | None
) -> None:
    """Check that a number lies within its limits. NaN and infinity lie outside any limit.

    Raises:
        ConfigError: It does not.
    """
    if all(limit is None for limit in (min, above, max, below)):
        return
    inside = (
        math.isfinite(value)
        and (min is None or value >= min)
        and (above is None or value > above)
        and (max is None or value <= max)
        and (below is None or value < below)
    )
    if not inside:
        expected = describe_limits(min=min, above=above, max=max, below=below)
        raise ConfigError(f"{place}: expected a number {expected}; found {value}.")


def describe_limits(*, min: float | None, above: float | None, max: float | None, below: float | None) -> str:
    """Return the limits as text: "of at least 1", "from 0 to below 1", "above 0"; "" if there are none."""
    low = {"from": min, "above": above}
    high = {"to": max, "to below": below}
    bounds = [f"{prefix} {limit:,}" for prefix, limit in (low | high).items() if limit is not None]
    if len(bounds) == 1:
        return bounds[0].replace("from", "of at least").replace("to below", "below").replace("to", "of at most")
    return " ".join(bounds)


def check_keras_form(place: str, value: Any) -> None:
    """Check that a value has the form of Keras objects: a name, or class_name and config. Lists and null are allowed.

    Raises:
        ConfigError: It has another form. Whether Keras knows the name is checked later.
    """
    for entry in value if isinstance(value, list) else [value]:
        well_formed = (
            entry is None
            or isinstance(entry, str)
            or (
                isinstance(entry, dict)
                and isinstance(entry.get("class_name"), str)
                and set(entry) <= {"class_name", "config"}
                and isinstance(entry.get("config", {}), dict)
            )
        )
        if not well_formed:
            raise ConfigError(
                f"{place}: expected the name of a Keras object, or class_name and config; found {entry!r}. "
                "Example: {class_name: Dense, config: {units: 10}}"
            )
        for key, number in integers(entry):
            if abs(number) > LARGEST and key not in UNLIMITED:
                raise ConfigError(f"{place}: expected {key} of at most {LARGEST:,}; found {number:,}.")


def integers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Yield (nearest key, number) of every integer in nested dicts and lists."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from integers(entry, str(name))
    elif isinstance(value, list):
        for entry in value:
            yield from integers(entry, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, value
