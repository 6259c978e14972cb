"""The door: command line -> Config -> one command -> exit status."""

import errno
import importlib
import os
import re
import shlex
import signal
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from pipeline.cli import compose as composition
from pipeline.cli import help as reference
from pipeline.errors import ConfigError, PipelineError, RunError, Stopped, nearest
from pipeline.runtime.signals import AskedToStop, stopping_at_once

COMMANDS = {
    "train": "Train a model, evaluate it on the test split and write the report.",
    "check": "Look at a set-up for what would go wrong, and train nothing.",
    "evaluate": "Evaluate a stored run again (run.name=NAME), on the same data or other data (data=...).",
    "reproduce": "Train a stored run anew (run.name=NAME) and say whether it comes out the same, bit for bit.",
    "runs": "List the runs under run.root; compare two of them; or write registry.html, a page of all.",
    "registry": "Bring the registry's tables up to date, take journals in, check them against it, or export it.",
    "drift": "Look for drift in data and predictions (run.name=NAME data=...), or in a metric over runs (series).",
    "golden": "Train the golden runs and hold them against the results kept in the project; record keeps them anew.",
    "qualify": "Train in the locked environment and in a candidate's (qualify.package=NAME==VERSION), and compare.",
    "doctor": "Show all that a run would stand on, from the lock to the GPUs and the database, and what to mend.",
    "shards": "Write a data set as TFRecord shards (data=... shards.path=FOLDER).",
    "reference": "Print the config reference as Markdown.",
}
TRAINING = ("train", "reproduce")  # commands that may be asked to stop, and then go on
STORED = (["evaluate"], ["reproduce"], ["drift"])  # commands whose config is that of a run
# what may stand between a command and its KEY=VALUE words: what it does with how many names, and options
WORDS = {
    "runs": {"compare": 2, "page": 0},
    "registry": {"upgrade": 0, "ingest": 0, "verify": 0, "export": 0},
    "drift": {"series": 0},
    "golden": {"record": 0},
}
OPTIONS = {command: {"--json": "as_json"} for command in ("runs", "drift", "golden", "qualify", "doctor")}
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)  # by the file system, not our defect
PASSWORD = re.compile(r"(//[^\s/@:]*:)\S+(?=@)|(password=)[^\s&'\"]+")  # of a database, wherever it was typed


def main(arguments):
    """Run one command line, and tell a mistake in a few lines; a defect of this program stays a traceback.

    Returns the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a locale without the signs of a table shall not end a run
    try:
        return run(arguments)
    except Stopped as note:
        print(note, file=sys.stderr)
        return note.status
    except KeyboardInterrupt:
        print("stopped at once", file=sys.stderr)
        return 128 + signal.SIGINT
    except PipelineError as error:
        say_error(error)
        return error.status
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        say_error(
            f"expected files and folders that this user may read and write; {error}. Mend it, and call the same again."
        )
        return RunError.status


def say_error(error):
    print(f"{in_red('error')}: {PASSWORD.sub(r'\1\2***', str(error))}", file=sys.stderr)


def in_red(word):
    """The word, coloured where stderr is a terminal and nobody asked for none (no-color.org)."""
    return f"\033[31m{word}\033[0m" if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else word


def run(arguments):
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(reference.command_list(COMMANDS))
        return 0
    command, *overrides = arguments
    if command not in COMMANDS:
        raise ConfigError(f"{command}: there is no such command. {nearest(command, COMMANDS)}")
    asks_help = {"-h", "--help"} & set(overrides)
    options = OPTIONS.get(command, {})
    given = {name: option in overrides for option, name in options.items()}
    overrides = [override for override in overrides if override not in ("-h", "--help", *options)]
    words, overrides = split_words(command, overrides)
    for override in overrides:
        if override in ("-m", "--multirun"):
            raise ConfigError(f"{override}: sweeps are not built. Start one run for each setting instead.")
        if override.startswith("-"):
            raise ConfigError(f"{override}: there is no such option. Expected KEY=VALUE, or --help.")
    if asks_help:
        print(reference.command_page(usage(command), COMMANDS[command], *composition.draft(overrides)))
        return 0
    if command == "reference":
        print(reference.markdown(), end="")
        return 0
    config = stored_config(overrides) if [command, *words] in STORED else composition.compose(overrides)
    command_line = shlex.join(["python", "-m", "pipeline", *arguments])
    extra = [words] if command in WORDS else []
    with stopping_at_once() if command in TRAINING else nullcontext():
        # only now, with the config known to be good, is the command imported, and TensorFlow with it
        with quiet_start():
            module = importlib.import_module(f"pipeline.commands.{command}")
        # the composition goes down with it: what a command stores, or reads of another run, is YAML of Hydra's kind
        return module.run(config, composition, command_line, *extra, **given)


def split_words(command, arguments):
    """The words that tell a command what to do, wherever they stand, and the rest.

    compare A run.root=runs B -> (["compare", "A", "B"], ["run.root=runs"]).
    """
    known = WORDS.get(command)
    words = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    if not known or not words:
        return [], arguments
    word, *names = words
    if word not in known:
        raise ConfigError(f"{command} {word}: there is no such word. {nearest(word, known)}")
    if len(names) != known[word]:
        raise ConfigError(f"{command} {word}: expected the names of {known[word]} runs; found {len(names)}.")
    return words, [argument for argument in arguments if argument not in words]


def usage(command):
    """A command and the words that may come after it."""
    words = " | ".join([word + " NAME" * count for word, count in WORDS.get(command, {}).items()])
    options = "".join(f" [{option}]" for option in OPTIONS.get(command, {}))
    return command + (f" [{words}]" if words else "") + options


@contextmanager
def quiet_start():
    """Keep what TensorFlow's libraries print while they load off stderr, unless loading fails.

    They print before any setting of theirs is read. TF_CPP_MIN_LOG_LEVEL=0 shows it.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except AskedToStop:
            raise
        except BaseException:
            aside.seek(0)
            stderr.write(aside.read())
            raise
        finally:
            stderr.flush()
            os.dup2(stderr.fileno(), 2)


def stored_config(overrides):
    """The config of the run that the overrides name."""
    named = composition.compose([override for override in overrides if override.startswith("run.")]).run
    if named.name is None:
        raise RunError("run.name: expected the name of a run, found none. `python -m pipeline runs` lists them.")
    config = composition.stored(f"{named.root}/{named.name}/config.yaml", overrides)
    return replace(config, run=replace(config.run, root=named.root))  # where it lies now, if it was moved
