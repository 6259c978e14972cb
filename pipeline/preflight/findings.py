"""A finding of preflight: something in the set-up that is, or may be, wrong."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.preflight.catalogue import CATALOGUE, ERROR

WIDTH = 110


@dataclass(frozen=True)
class Finding:
    """Describes one problem in the set-up.

    Attributes:
        code: The key of its entry in the catalogue.
        place: The label, feature, layer or config key that it concerns.
        found: The observation, in one or two sentences.
        fix: The advice to the user.
    """

    code: str
    place: str
    found: str
    fix: str

    def __post_init__(self) -> None:
        if self.code not in CATALOGUE:
            raise KeyError(f"{self.code}: the catalogue has no such finding")

    @property
    def severity(self) -> str:
        """The severity in the catalogue: ERROR stops the run, WARNING does not."""
        return CATALOGUE[self.code].severity

    @property
    def is_error(self) -> bool:
        """Whether the finding stops the run."""
        return self.severity == ERROR

    def __str__(self) -> str:
        """Return the lines for the terminal. The fix is not wrapped, so that it can be copied."""
        heading = _wrapped(f"[{self.code}] {self.place}: {self.found}", indent="")
        why = _wrapped(f"why: {CATALOGUE[self.code].explanation}", indent="    ")
        return f"{heading}\n{why}\n    fix: {self.fix}"


def finding(code: str, place: str, found: str, **values: object) -> Finding:
    """Return a finding with the fix of its entry in the catalogue.

    Args:
        code: The key of the entry.
        place: The label, feature, layer or config key that it concerns.
        found: The observation, in one or two sentences.
        **values: Values for the $names in the fix.
    """
    return Finding(code, place, found, CATALOGUE[code].fix(values))


def as_json(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Return findings in the form in which the record of a run stores them."""
    return [
        {"code": finding.code, "severity": finding.severity, "place": finding.place, "found": finding.found}
        for finding in findings
    ]


def _wrapped(text: str, *, indent: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
