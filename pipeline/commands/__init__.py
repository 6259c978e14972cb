"""The commands, one per file: `run(config, invocation)` runs `python -m pipeline COMMAND`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """The arguments of a command, apart from its config.

    Attributes:
        command_line: The whole command line, for the record of a run.
        action: The action of the command with the names after it, such as ("compare", "A", "B"); () if there is none.
        as_json: Whether the result is printed as JSON.
    """

    command_line: str = ""
    action: tuple[str, ...] = ()
    as_json: bool = False
