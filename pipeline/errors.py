"""The exit statuses of the program, and the errors that lead to them."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum

MAX_KNOWN = 20  # known names to list if none is similar
MAX_SHOWN = 8  # values that a message lists
MAX_MESSAGE = 300  # largest length of a message from Keras or TensorFlow
# beginnings of lines in errors of Keras and TensorFlow that give the location, not the reason
LOCATION_LINES = ("Exception encountered", "Graph execution error", "Detected at node", "<stack traces", "File ")


class ExitStatus(IntEnum):
    """The exit status of a command."""

    DONE = 0
    DEFECT = 1  # of this program
    USER_ERROR = 2  # config, data or run is wrong
    ENVIRONMENT = 3  # the environment differs from the lock, or the device is missing
    DIFFERENCE = 4  # a comparison found a difference
    UNDECIDED = 5  # a comparison cannot decide
    INTERRUPTED = 75  # a stop was requested; the same command resumes


class PipelineError(Exception):
    """Base class of the errors that are printed in a few lines, never as a traceback.

    The message has the form "place: expected X; found Y. What to do."
    """

    status: ExitStatus = ExitStatus.DEFECT


class ConfigError(PipelineError):
    """An option has a wrong name or value, or options do not work together."""

    status = ExitStatus.USER_ERROR


class DataError(PipelineError):
    """The data is damaged, incomplete, or does not fit the config."""

    status = ExitStatus.USER_ERROR


class RunError(PipelineError):
    """The run does not exist, is damaged, has another config, or is locked by another process."""

    status = ExitStatus.USER_ERROR


class RegistryError(PipelineError):
    """The database of the registry does not answer, belongs to another program, or has another schema revision."""

    status = ExitStatus.USER_ERROR


class EnvironmentMismatch(PipelineError):
    """The environment differs from the lock, or the device is missing."""

    status = ExitStatus.ENVIRONMENT


class Interrupted(PipelineError):
    """A stop was requested. A training run has saved a checkpoint; the same command resumes it."""

    status = ExitStatus.INTERRUPTED


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the names that are most similar to `name`, or else the known names.

    Args:
        name: The name that is not known.
        known: The names that exist.
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=2, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(map(_visible, close)) + "?"
    return "Known: " + ", ".join(map(_visible, known[:MAX_KNOWN])) + (", ..." if len(known) > MAX_KNOWN else ".")


def _visible(name: str) -> str:
    """Return a name, in quotes if it is empty or has blanks around it, which would not show."""
    return name if name and name == name.strip() else repr(name)


def shortened(texts: Iterable[str]) -> str:
    """Return texts in one line: "a, b, c", of many the first ones and the last."""
    shown = list(texts)
    return ", ".join(shown if len(shown) <= MAX_SHOWN else [*shown[: MAX_SHOWN - 1], "...", shown[-1]])


def message_of(error: Exception) -> str:
    """Return the first line of a Keras or TensorFlow error that gives the reason. Terminal colours are removed."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(LOCATION_LINES)] or lines
    return reasons[0][:MAX_MESSAGE] if reasons else type(error).__name__
