"""Options that every objective has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.options import Options


@dataclass
class ObjectiveOptions(Options):
    """Base class of the objectives: what one batch teaches the model."""

    key: ClassVar[str] = "objective"
