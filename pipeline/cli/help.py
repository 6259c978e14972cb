"""The pages that tell which knobs there are: `--help` and the config reference, both made from config.py."""

import textwrap
from dataclasses import MISSING, fields

from pipeline.cli.compose import PRESET_GROUPS, choices
from pipeline.config import Config
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, is_section

WIDTH = 100


def command_list(commands):
    """The page of `python -m pipeline --help`. commands: name -> one line of purpose."""
    lines = [
        "usage: python -m pipeline COMMAND [KEY=VALUE ...]",
        "",
        "commands:",
        *(f"  {name:<12}{purpose}" for name, purpose in commands.items()),
        "",
        "A KEY is a knob (training.epochs=5) or a choice (model=cnn); `python -m pipeline COMMAND --help` lists them.",
        "",
        "exit status: 0 done, 1 a defect of this program, 2 config, data or run is wrong, 3 the environment differs",
        "from the lock or the device is not there, 4 a comparison found a difference, 5 it cannot tell (too few rows),",
        "75 stopped on request with a checkpoint saved: the same goes on.",
    ]
    return "\n".join(lines)


def command_page(command, purpose, values, types):
    """The page of `python -m pipeline COMMAND --help`, with the knobs and values of a draft of the config."""
    lines = [f"usage: python -m pipeline {command} [KEY=VALUE ...]", "", purpose, "", "Choices (KEY=NAME):"]
    for group in ["experiment", *PRESET_GROUPS]:
        heading = group
        for name, comment in choices(group).items():
            lines.append(f"  {heading:<12}{name:<20}{comment}")
            heading = ""
    lines += ["", "Knobs (KEY=VALUE), with the values they have now; those of another choice: add it before --help."]
    for key, value, help in _knobs(Config, values, types):
        if help is None:
            lines += ["", f"  {key}: {value}"]
        else:
            lines += [f"    {key} = {_shown(value)}", *textwrap.wrap(help, WIDTH, **_indent(8))]
    return "\n".join(lines)


def markdown():
    """The config reference: every knob of every choice, as a Markdown page."""
    lines = [
        "# Config reference",
        "",
        "Every knob, its default and what it does. Made from `pipeline/config.py` by `make docs`; do not edit.",
        "Set one on the command line (`make train training.epochs=5`) or in a file under `configs/`.",
        "",
        "## Everywhere",
        "",
        *_table("", Config),
    ]
    for item in fields(Config):
        if not is_section(item):
            continue
        owner = item.metadata["section"]
        lines += ["", f"## {item.name}", "", item.metadata["help"].capitalize() + ".", ""]
        if item.name in PRESET_GROUPS:
            lines += [f"- `{item.name}={name}`: {comment}" for name, comment in choices(item.name).items()] + [""]
        if item.name not in CHOICE_GROUPS:
            lines += _table(f"{item.name}.", owner)
            continue
        common = {field.name for field in fields(owner)}
        if common:
            lines += [f"### every {item.name}", "", *_table(f"{item.name}.", owner)]
        for name, member in members(item.name).items():
            own = _table(f"{item.name}.", member, common)
            lines += ["", f"### {item.name}={name}", "", " ".join((member.__doc__ or "").split()), ""]
            lines += own if len(own) > 2 else []
    lines += ["", "## experiment", "", "Whole set-ups, the choices above made together:", ""]
    lines += [f"- `experiment={name}`: {comment}" for name, comment in choices("experiment").items()]
    return "\n".join(lines) + "\n"


def _knobs(owner, values, types, prefix=""):
    """Yield (key, value, help) of every knob; a part's own heading comes before its knobs, with help None."""
    parts = []
    for item in fields(owner):
        if is_section(item):
            parts.append(item)
        else:
            yield prefix + item.name, values[item.name], item.metadata["help"]
    for item in parts:
        yield prefix + item.name, item.metadata["help"], None
        yield from _knobs(
            types.get(item.name, item.metadata["section"]), values[item.name], {}, f"{prefix}{item.name}."
        )


def _table(prefix, owner, leave_out=()):
    rows = ["| key | default | what it does |", "|---|---|---|"]
    for item in fields(owner):
        if item.name in leave_out:
            continue
        if is_section(item):
            if prefix:
                rows += _table(f"{prefix}{item.name}.", item.metadata["section"])[2:]
            continue
        default = item.default if item.default is not MISSING else item.default_factory()
        help = item.metadata["help"].replace("|", "\\|")
        rows.append(f"| `{prefix}{item.name}` | `{_shown(default)}` | {help} |")
    return rows


def _shown(value):
    """A value as one would type it: YAML's words for None, True and False."""
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


def _indent(columns):
    return {"initial_indent": " " * columns, "subsequent_indent": " " * columns}
