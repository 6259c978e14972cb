"""A finding: something about a set-up that is wrong, or may be, before its first step."""

import textwrap
from dataclasses import dataclass

from pipeline.preflight.catalogue import CATALOGUE, ERROR

WIDTH = 110


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    code: a key of the catalogue, which says why it is wrong and how sure that is. place: the label, feature, layer or
    config key it was found at. found: what is there. mend: the config line, or the change to the model, that mends it.
    """

    code: str
    place: str
    found: str
    mend: str

    def __post_init__(self):
        if self.code not in CATALOGUE:
            raise KeyError(f"{self.code}: the catalogue has no such finding")

    @property
    def severity(self):
        return CATALOGUE[self.code].severity

    @property
    def why(self):
        return CATALOGUE[self.code].why

    @property
    def is_error(self):
        return self.severity == ERROR

    def __str__(self):
        lines = [f"[{self.code}] {self.place}: {self.found}", f"why: {self.why}", f"mend: {self.mend}"]
        return "\n".join(
            textwrap.fill(
                line, WIDTH, initial_indent="    " if number else "", subsequent_indent="      ",
                break_long_words=False, break_on_hyphens=False,
            )
            for number, line in enumerate(lines)
        )  # fmt: skip


def as_json(findings):
    """Findings as a run's record keeps them."""
    return [
        {"code": finding.code, "severity": finding.severity, "place": finding.place, "found": finding.found}
        for finding in findings
    ]
