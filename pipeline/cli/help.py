"""The pages of `--help` and the config reference, generated from the declarations of the options."""

import textwrap
from collections.abc import Collection, Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from pipeline.cli.command_table import COMMANDS
from pipeline.cli.compose import PRESET_GROUPS, choices
from pipeline.config import Config
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, Options, as_typed, describe_limits, is_section

WIDTH = 100
EXIT_STATUS = """\
exit status: 0 done, 1 a defect of this program, 2 config, data or run is wrong, 3 the environment differs
from the lock or the device is missing, 4 a comparison found a difference, 5 a comparison cannot decide,
75 interrupted with a checkpoint saved: the same command resumes."""


def command_list() -> str:
    """Return the page of `python -m pipeline --help`."""
    lines = [
        "usage: python -m pipeline COMMAND [KEY=VALUE ...]",
        "",
        "commands:",
        *(f"  {name:<12}{command.purpose}" for name, command in COMMANDS.items()),
        "",
        "A KEY is an option (training.epochs=5) or a choice (model=cnn).",
        "`python -m pipeline COMMAND --help` lists those that matter to a command.",
        "",
        EXIT_STATUS,
    ]
    return "\n".join(lines)


def command_page(name: str, values: dict[str, Any], types: dict[str, type[Options]]) -> str:
    """Return the page of `python -m pipeline COMMAND --help`.

    Args:
        name: The command.
        values: A draft of the config as nested dicts.
        types: The class of each section with a choice.
    """
    command = COMMANDS[name]
    lines = [f"usage: python -m pipeline {usage(name)} [KEY=VALUE ...]", "", command.purpose]
    groups = [group for group in PRESET_GROUPS if group in command.options]
    if groups:
        lines += ["", "Choices (KEY=NAME):"]
        for group in ["experiment", *groups] if "model" in groups else groups:
            lines += _choice_lines(group)
        lines += ["", "Options (KEY=VALUE) and their values now; for those of another choice, add it before --help."]
    elif command.options:
        lines += ["", "Options (KEY=VALUE) and their values now:"]
    for key, value, item in _options(Config, values, types):
        if not _matters(key, command.options, item):
            continue
        if is_section(item):
            lines += ["", f"  {key}: {item.metadata['help']}"]
        else:
            lines.append(f"    {key} = {_shown(value)}   ({describe(item, value)})")
            lines += textwrap.wrap(item.metadata["help"], WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines)


def usage(name: str) -> str:
    """Return a command with its actions and flags: "runs [compare NAME NAME | page] [--json]"."""
    command = COMMANDS[name]
    actions = " | ".join(action + " NAME" * count for action, count in command.actions.items())
    flags = "".join(f" [{flag}]" for flag in command.flags)
    return name + (f" [{actions}]" if actions else "") + flags


def markdown() -> str:
    """Return the config reference as a Markdown page."""
    lines = [
        "# Config reference",
        "",
        "Every option: its type and range, its default, and what it does. `make docs` makes this page from the",
        "declarations in the code; do not edit it. Set an option on the command line (`make train training.epochs=5`)",
        "or in a file under `configs/`.",
        "",
        "## Everywhere",
        "",
        *_table("", Config),
    ]
    for item in fields(Config):
        if is_section(item):
            lines += _section_page(item)
    lines += ["", "## experiment", "", "Whole configurations, several choices together:", ""]
    lines += [f"- `experiment={name}`: {comment}" for name, comment in choices("experiment").items()]
    return "\n".join(lines) + "\n"


def describe(item: Field[Any], value: Any = None) -> str:
    """Return the type and range of an option: "int of at least 1", "one of never, always, auto", "Keras loss"."""
    rules = item.metadata
    if rules["choices"]:
        allowed = ", ".join(map(as_typed, rules["choices"]))
        return f"list of {allowed}" if isinstance(value, list) else f"one of {allowed}"
    if rules["keras"]:
        return f"Keras {rules['keras']}"
    if rules["path"]:
        return "path"
    hint = item.type.__name__ if isinstance(item.type, type) and "[" not in str(item.type) else str(item.type)
    hint = hint.replace("typing.", "").replace("Any", "any").replace(" | None", " or null")
    return " ".join(part for part in (hint, describe_limits(**rules["limits"])) if part)


def _choice_lines(group: str) -> list[str]:
    names = list(choices(group).items())
    return [f"  {group if not row else '':<12}{name:<20}{comment}" for row, (name, comment) in enumerate(names)]


def _matters(key: str, prefixes: tuple[str, ...], item: Field[Any]) -> bool:
    """Return whether an option belongs to a command, or a section holds options that do."""
    inside = any(f"{key}.".startswith(f"{prefix}.") for prefix in prefixes)
    return inside or (is_section(item) and any(prefix.startswith(f"{key}.") for prefix in prefixes))


def _options(
    owner: type[Options], values: dict[str, Any], types: dict[str, type[Options]], prefix: str = ""
) -> Iterator[tuple[str, Any, Field[Any]]]:
    """Yield (key, value, field) of every option, a section itself before its options."""
    sections = []
    for item in fields(owner):
        if is_section(item):
            sections.append(item)
        else:
            yield prefix + item.name, values[item.name], item
    for item in sections:
        yield prefix + item.name, values[item.name], item
        chosen = types.get(item.name, item.metadata["section"])
        yield from _options(chosen, values[item.name], {}, f"{prefix}{item.name}.")


def _section_page(item: Field[Any]) -> list[str]:
    owner, name = item.metadata["section"], item.name
    lines = ["", f"## {name}", "", item.metadata["help"].capitalize() + ".", ""]
    if name in PRESET_GROUPS:
        lines += [*(f"- `{name}={choice}`: {comment}" for choice, comment in choices(name).items()), ""]
    if name not in CHOICE_GROUPS:
        return lines + _table(f"{name}.", owner)
    if common := {field.name for field in fields(owner)}:
        lines += [f"### Every {name}", "", *_table(f"{name}.", owner)]
    for choice, member in members(name).items():
        rows = _table(f"{name}.", member, skip=common)
        lines += [
            "",
            f"### {name}={choice}",
            "",
            *textwrap.dedent(f"    {member.__doc__}").replace(":\n    ", ":\n\n    ").splitlines(),
            "",
        ]
        lines += rows if len(rows) > 2 else []
    return lines


def _table(prefix: str, owner: type[Options], *, skip: Collection[str] = ()) -> list[str]:
    rows = ["| option | type and range | default | what it does |", "|---|---|---|---|"]
    for item in fields(owner):
        if item.name in skip:
            continue
        if is_section(item):
            if prefix:
                rows += _table(f"{prefix}{item.name}.", item.metadata["section"])[2:]
            continue
        default = item.default if item.default_factory is MISSING else item.default_factory()
        kind, purpose = (text.replace("|", "\\|") for text in (describe(item, default), item.metadata["help"]))
        rows.append(f"| `{prefix}{item.name}` | {kind} | `{_shown(default)}` | {purpose} |")
    return rows


def _shown(value: Any) -> str:
    """Return a value in the form of the command line, with YAML's null, true and false."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return "[" + ", ".join(_shown(entry) for entry in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items()) + "}"
        case "":
            return "''"
    return str(value)
