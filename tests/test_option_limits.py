"""Every option that holds a number has a smallest and a largest value."""

import typing

from pipeline.config import Config
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, fields, is_section


def declared(owner, prefix=""):
    """Yield (dotted key, type, metadata) of every option of a dataclass."""
    types = typing.get_type_hints(owner)
    for item in fields(owner):
        if is_section(item):
            yield from declared(item.metadata["section"], f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, types[item.name], item.metadata


def holds_numbers(hint):
    arguments = typing.get_args(hint)
    return hint in (int, float) or any(holds_numbers(argument) for argument in arguments)


def test_every_number_has_a_smallest_and_a_largest_value():
    options = {key: (hint, metadata) for key, hint, metadata in declared(Config)}
    for group in CHOICE_GROUPS:
        for member in members(group).values():
            options |= {key: (hint, metadata) for key, hint, metadata in declared(member, f"{group}.")}
    open_ended = [
        key
        for key, (hint, metadata) in options.items()
        if holds_numbers(hint)
        and not metadata["choices"]
        and (
            (metadata["limits"]["min"] is None and metadata["limits"]["above"] is None)
            or (metadata["limits"]["max"] is None and metadata["limits"]["below"] is None)
        )
    ]
    assert open_ended == []
