"""The order of the classes of ordinal labels of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.data.categories import number_of
from pipeline.errors import ConfigError, DataError
from pipeline.overrides import shell_argument

ORDINAL = "ordinal"  # a kind of label of tables: a class label whose classes have an order


def class_orders(given: Any, ordinal: Sequence[str]) -> dict[str, list[str]]:
    """Return ordinal label -> its classes in order, for the labels whose order is given.

    Args:
        given: data.label_order: a list for all ordinal labels, or label -> list.
        ordinal: The ordinal labels.
    """
    by_label = given if isinstance(given, Mapping) else dict.fromkeys(ordinal, given or [])
    return {label: [_name(name) for name in order] for label, order in by_label.items() if order}


def check_class_orders(given: Any, ordinal: Sequence[str], categories: Mapping[str, Sequence[str]]) -> None:
    """Check the option data.label_order. Arguments as for `class_orders`.

    Raises:
        ConfigError: It is no list, a label is not ordinal, or an order lacks classes or occurs twice.
    """
    if given and not ordinal:
        raise ConfigError("data.label_order: expected an ordinal label; found none. Set data.label_kind=ordinal.")
    for label in given if isinstance(given, Mapping) else ():
        if label not in ordinal:
            raise ConfigError(
                f"data.label_order.{label}: expected an ordinal label; found {label!r}. Set "
                f"{shell_argument('data.label_kind', {label: ORDINAL})}."
            )
    for order in given.values() if isinstance(given, Mapping) else [given] if given else []:
        names = [_name(name) for name in order] if isinstance(order, list) else []
        if len(names) < 2 or len({*names}) < len(names):
            raise ConfigError(
                f"data.label_order: expected a list of different classes, such as [low,medium,high]; found {order!r}. "
                "List each class once."
            )
    for label in class_orders(given, ordinal):
        if label in categories:
            raise ConfigError(
                f"data.label_order: expected the classes of {label!r} in one option; found them in "
                f"data.categories.{label} too. Remove them there."
            )


def _name(value: object) -> str:
    """Return a class as the file writes it, although the config reads 1 as a number and true as a boolean."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_has_order(names: Sequence[str], label: str, location: str) -> None:
    """Check that classes whose order is not given are numbers.

    Args:
        names: The classes.
        label: The name of the label.
        location: The file, for the error message.

    Raises:
        DataError: A class is not a number.
    """
    if words := [name for name in names if number_of(name) is None]:
        raise DataError(
            f"{location}, column {label!r}: expected numbers or a given order, since the label is ordinal; found the "
            f"class {words[0]!r}. Set {shell_argument('data.label_order', list(names))}, and put the classes in their "
            "order, the lowest first."
        )
