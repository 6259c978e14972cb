"""Import the user's own files under custom/, and list the functions and classes that they define."""

import importlib
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import ConfigError

PROJECT = Path(__file__).parents[1]
CUSTOM = PROJECT / "custom"


def definitions(kind: str) -> dict[str, Any]:
    """Return the functions and classes that custom/KIND.py defines, by name; {} if there is no such file.

    Names that begin with an underscore, and imported names, are left out.

    Args:
        kind: "losses" or "metrics".

    Raises:
        ConfigError: The file cannot be imported.
    """
    path = CUSTOM / f"{kind}.py"
    if not path.is_file():
        return {}
    module = import_custom(path)
    return {
        name: item
        for name, item in vars(module).items()
        if not name.startswith("_")
        and not isinstance(item, ModuleType)
        and (inspect.isfunction(item) or inspect.isclass(item))
        and item.__module__ == module.__name__
    }


def classes(*bases: type) -> dict[str, type]:
    """Return, by name, all classes in files under custom/ that derive from one of the base classes.

    Raises:
        ConfigError: A file cannot be imported, or two files define classes with the same name. A saved model stores
            only the name of a class, so the name must be unique.
    """
    by_name: dict[str, type] = {}
    for path in sorted(CUSTOM.rglob("*.py")):
        module = import_custom(path)
        for name, item in vars(module).items():
            if not inspect.isclass(item) or not issubclass(item, bases) or item.__module__ != module.__name__:
                continue
            if name in by_name and by_name[name] is not item:
                raise ConfigError(
                    f"{location_of(item)}: expected a unique name; found {name} in {location_of(by_name[name])} too. "
                    "Rename one of them: a saved model stores only the names of its classes."
                )
            by_name[name] = item
    return by_name


def import_custom(path: Path) -> ModuleType:
    """Import a file under custom/. Its folder needs no __init__.py.

    Raises:
        ConfigError: The file cannot be imported. The message names the file, the line and the reason.
    """
    name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    try:
        module = importlib.import_module(name)
    except Exception as error:  # the user's file may raise anything
        raise ConfigError(f"{location(path, error)}: cannot be imported. {type(error).__name__}: {error}") from error
    if module.__file__ is None or not path.samefile(module.__file__):
        raise ConfigError(
            f"{path}: expected to import it as {name}; found {module.__file__} under that name. Remove the other file "
            "from the Python path."
        )
    return module


def location_of(item: Callable[..., Any]) -> str:
    """Return "FILE, line N" of a function or class. FILE is relative to the project.

    If the source is not available, return the name of the module.
    """
    item = inspect.unwrap(item)
    try:
        path, line = Path(inspect.getfile(item)), inspect.getsourcelines(item)[1]
    except (OSError, TypeError):
        return str(item.__module__)
    return f"{path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path}, line {line}"


def location(path: Path, error: Exception) -> str:
    """Return "FILE, line N", where N is the last line of the file in the traceback of an error.

    If the traceback has no line of the file, return FILE alone.
    """
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
