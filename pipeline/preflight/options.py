"""Options of preflight."""

from dataclasses import dataclass
from typing import ClassVar, override

from pipeline.errors import ConfigError, nearest
from pipeline.options import Options, option
from pipeline.preflight.catalogue import CATALOGUE


@dataclass
class Preflight(Options):
    """Which findings do not stop a run."""

    key: ClassVar[str] = "preflight"

    ignore: list[str] = option([], "codes of findings that are intended; the record of the run names them")

    @override
    def check(self) -> None:
        for code in self.ignore:
            if code not in CATALOGUE:
                raise ConfigError(
                    f"preflight.ignore: expected the code of a finding; found {code!r}. {nearest(code, CATALOGUE)}"
                )
