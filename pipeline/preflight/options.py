"""Options of preflight."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.options import Options, option


@dataclass
class Preflight(Options):
    """Which findings do not stop a run."""

    key: ClassVar[str] = "preflight"

    ignore: list[str] = option([], "codes of findings that are intended; the record of the run names them")
