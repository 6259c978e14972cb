"""Formats, their mutations, and what each mutation must lead to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

SAMPLES = TemporaryDirectory(prefix="fuzz-")  # removed when the process ends


class Verdict(Enum):
    """What the program must do with a mutated input. It never raises anything but its own errors, and never hangs."""

    WRONG = "refuse it"
    RIGHT = "read the same values"
    ANY = "refuse or read it"


@dataclass(frozen=True)
class Mutation:
    """change: Changes the files of a folder, and returns the options that differ from those of the format, or None."""

    name: str
    verdict: Verdict
    change: Callable[[Random, Path], dict[str, Any] | None]


@dataclass(frozen=True)
class Format:
    """A file format: a valid sample, and mutations of it.

    source: The class of its data source. options: Its options; `path` is relative to the folder of the sample.
    write: Writes the sample into a folder. make: Returns the source for options; None if its class does that.
    """

    name: str
    source: type
    options: dict[str, Any]
    write: Callable[[Path], None]
    make: Callable[..., Any] | None = None
    mutations: list[Mutation] = field(default_factory=list)

    def _register(self, verdict: Verdict) -> Callable:
        def register(change: Callable) -> Callable:
            self.mutations.append(Mutation(change.__name__, verdict, change))
            return change

        return register

    @property
    def wrong(self) -> Callable:
        """Decorator of a mutation whose result is certainly wrong."""
        return self._register(Verdict.WRONG)

    @property
    def right(self) -> Callable:
        """Decorator of a mutation that keeps every value."""
        return self._register(Verdict.RIGHT)

    @property
    def any(self) -> Callable:
        """Decorator of a mutation whose result may be right or wrong."""
        return self._register(Verdict.ANY)

    def open(self, options: dict[str, Any]) -> Any:
        """Return the data source for some options."""
        return (self.make or self.source)(**options)

    @property
    def sample(self) -> Path:
        """The folder of the valid sample, which is written once per process."""
        return _written(self.write)

    def options_in(self, folder: Path, changed: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the options of the source for the files of a folder."""
        options = {**self.options, **(changed or {})}
        paths = ("path", "validation_path", "test_path")
        return {key: str(folder / value) if key in paths and value else value for key, value in options.items()}


@cache
def _written(write: Callable[[Path], None]) -> Path:
    folder = Path(mkdtemp(dir=SAMPLES.name))
    write(folder)
    return folder


# ---- mutations of bytes, for any format -----------------------------------------------------------------------------


def flip_bytes(random: Random, path: Path, count: int = 1) -> None:
    """Replace some bytes of a file by others."""
    content = bytearray(path.read_bytes())
    for _ in range(count):
        content[random.randrange(len(content))] ^= random.randrange(1, 256)
    path.write_bytes(content)


def cut(random: Random, path: Path, keep: float = 1.0) -> None:
    """Cut a file somewhere before this share of its length."""
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(int(len(content) * keep))])


def splice(random: Random, path: Path) -> None:
    """Repeat, remove or overwrite a stretch of a file."""
    content = path.read_bytes()
    start = random.randrange(len(content))
    stretch = content[start : start + random.randrange(1, 64)]
    replacement = random.choice([b"", stretch * 2, random.randbytes(len(stretch)), b"\0" * len(stretch), b"\xff" * 8])
    path.write_bytes(content[:start] + replacement + content[start + len(stretch) :])
