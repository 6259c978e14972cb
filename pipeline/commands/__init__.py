"""The commands, one per file: `run(config, invocation)` does what `python -m pipeline COMMAND` is for."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """How a command was called, apart from its config.

    command_line: The whole command line, for the record of a run.
    action: What the command is to do if it can do several things, with the names that follow: ("compare", "A", "B").
    as_json: Whether the result is printed as JSON.
    """

    command_line: str = ""
    action: tuple[str, ...] = ()
    as_json: bool = False
