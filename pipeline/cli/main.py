"""Run one command line: arguments -> Config -> command -> exit status."""

import errno
import importlib
import io
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from pipeline import logs
from pipeline.cli import compose as composition
from pipeline.cli import help as pages
from pipeline.cli.command_table import COMMANDS
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, ExitStatus, Interrupted, PipelineError, RunError, nearest
from pipeline.runs import folder as run_folder
from pipeline.runtime import keras_settings, streams, variables
from pipeline.runtime.signals import StopSignal, stopping_at_once
from pipeline.visible_text import printable

HELP = ("-h", "--help")
# errors of the file system that the user can fix: permissions, a full disk, a missing folder, a name that is too long
REFUSED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.EEXIST, errno.EISDIR),
    *(errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EFBIG, errno.EMFILE, errno.EIO, errno.ESTALE, errno.EINVAL),
)
PASSWORD = re.compile(r"(//[^\s/@:]*:)\S+(?=@)|(password=)[^\s&'\"]+")  # passwords of databases in a message


def main(arguments: list[str]) -> int:
    """Run one command line and print its error, if there is one.

    An error of the user is printed in a few lines. A defect of the program gives a traceback.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # so that a locale without some character never ends a run
    logs.configure()
    try:
        status = run(arguments)
        sys.stdout.flush()
        return status
    except Interrupted as reason:
        print(reason, file=sys.stderr)
        return reason.status
    except KeyboardInterrupt:
        print("stopped at once", file=sys.stderr)
        return 128 + signal.SIGINT
    except PipelineError as error:
        print_error(error)
        return error.status
    except BrokenPipeError:  # the reader has ended, as in `... | head -1`
        streams.discard(sys.stdout)
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        print_error(
            f"expected files and folders that this user may read and write; {error}. Fix it, and run the same command "
            "again."
        )
        return ExitStatus.USER_ERROR


def print_error(error: object) -> None:
    """Print an error on stderr, in red on a terminal, without passwords."""
    with suppress(BrokenPipeError):
        print(f"{in_red('error')}: {printable(PASSWORD.sub(r'\1\2***', str(error)))}", file=sys.stderr)


def in_red(text: str) -> str:
    """Return the text, red if stderr is a terminal and NO_COLOR is not set (no-color.org)."""
    return f"\033[31m{text}\033[0m" if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else text


def run(arguments: list[str]) -> int:
    """Run one command line. Errors are raised.

    Returns:
        The exit status.
    """
    if not arguments or arguments[0] in (*HELP, "help"):
        print(pages.command_list())
        return ExitStatus.DONE
    name, *rest = arguments
    if name not in COMMANDS:
        raise ConfigError(f"{name}: there is no such command. {nearest(name, COMMANDS)}")
    command = COMMANDS[name]
    action, overrides = split_action(name, [item for item in rest if item not in (*HELP, *command.flags)])
    for override in overrides:
        if override in ("-m", "--multirun"):
            raise ConfigError(f"{override}: sweeps are not supported. Start one run per setting instead.")
        if override.startswith("-"):
            raise ConfigError(f"{override}: there is no such option. Expected KEY=VALUE, or --help.")
    if set(HELP) & set(rest):
        print(pages.command_page(name, *composition.draft(overrides)))
        return ExitStatus.DONE
    if name == "reference":
        print(pages.markdown(), end="")
        return ExitStatus.DONE
    config = stored_config(overrides) if command.stored and not action else composition.compose(overrides)
    run_folder.check_root(config.run.root)
    invocation = Invocation(
        command_line=shlex.join(["python", "-m", "pipeline", *arguments]),
        action=tuple(action),
        flags=frozenset(command.flags) & frozenset(rest),
    )
    variables.check()
    keras_settings.prepare_import()
    if command.stoppable:
        streams.outlive_readers()
    with stopping_at_once() if command.stoppable else nullcontext():
        with quiet_import():  # only now that the config is valid, since it imports TensorFlow
            module = importlib.import_module(f"pipeline.commands.{name}")
        return module.run(config, invocation)


def split_action(name: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split arguments into the action of a command and the overrides. The action may stand anywhere.

    `compare A run.root=runs B` gives (["compare", "A", "B"], ["run.root=runs"]).

    Raises:
        ConfigError: The command has no such action, or the number of names after it is wrong.
    """
    known = COMMANDS[name].actions
    given = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    if not known or not given:
        return [], arguments
    action, *names = given
    if action not in known:
        raise ConfigError(f"{name} {action}: there is no such action. {nearest(action, known)}")
    if len(names) != known[action]:
        raise ConfigError(f"{name} {action}: expected the names of {known[action]} runs; found {len(names)}.")
    return given, [argument for argument in arguments if argument not in given]


@contextmanager
def quiet_import() -> Iterator[None]:
    """Suppress what TensorFlow's libraries print on stderr while they load. If loading fails, it is printed.

    File descriptor 2 is redirected, because the libraries print before they read any setting. TF_CPP_MIN_LOG_LEVEL=0
    turns the redirection off.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as buffer, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except StopSignal:
            raise
        except BaseException:
            buffer.seek(0)
            stderr.write(buffer.read())
            raise
        finally:
            stderr.flush()
            os.dup2(stderr.fileno(), 2)


def stored_config(overrides: list[str]) -> Config:
    """Return the stored config of the run that the overrides name, with the overrides applied."""
    caller = composition.compose(composition.caller_overrides(overrides))
    if caller.run.name is None:
        raise RunError("run.name: expected the name of a run; found none. `python -m pipeline runs` lists them.")
    folder = run_folder.find(caller.run.root, caller.run.name)
    return composition.stored(folder / "config.yaml", overrides, caller)
