"""The errors a user can mend, each with the exit status the command line gives it."""

import re
from difflib import get_close_matches

MOST_NAMED = 20  # known words listed where none is near
MOST_WORDS = 300  # characters of another library's error that are told
# of Keras and TensorFlow: lines that only say where an error was raised
FRAMES = ("Exception encountered", "Graph execution error", "Detected at node", "<stack traces", "File ")


class PipelineError(Exception):
    """An error told in a few lines, never as a traceback.

    Its message says what was expected, what was found, where, and what to do.
    """

    status = 1


class ConfigError(PipelineError):
    """The config asks for something that does not exist or cannot work."""

    status = 2


class DataError(PipelineError):
    """The data is damaged, incomplete or contradicts the config."""

    status = 2


class RunError(PipelineError):
    """The run that was named is not there, is damaged, or is held by another process."""

    status = 2


class RegistryError(PipelineError):
    """The registry of runs is not there, is another program's, or is of another revision than this program's."""

    status = 2


class EnvironmentMismatch(PipelineError):
    """The environment differs from the lock, or the device asked for is not there."""

    status = 3


class Stopped(PipelineError):
    """The run stopped on request, with a checkpoint saved once it had begun; the same command goes on with it."""

    status = 75


def nearest(word, known):
    """Name the known words most like `word`, as the end of an error message."""
    known = sorted(known)
    close = get_close_matches(word, known, n=2, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(close) + "?"
    return "Known: " + ", ".join(known[:MOST_NAMED]) + (", ..." if len(known) > MOST_NAMED else ".")


def words_of(error):
    """What an error of Keras or TensorFlow says, without colours and the lines that only say where it was raised."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(FRAMES)] or lines
    return telling[0][:MOST_WORDS] if telling else type(error).__name__
