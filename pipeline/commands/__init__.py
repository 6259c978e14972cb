"""The commands, one per file: `run(config, invocation)` runs `python -m pipeline COMMAND`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """The arguments of a command, apart from its config.

    Attributes:
        command_line: The whole command line, for the record of a run.
        action: The action of the command with the names after it, such as ("compare", "A", "B"); () if there is none.
        flags: The flags that were given, such as "--json".
    """

    command_line: str = ""
    action: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    @property
    def as_json(self) -> bool:
        """Whether the result is printed as JSON."""
        return "--json" in self.flags
