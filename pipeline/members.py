"""Find the members of a group of options by folder and file name: data sources, models and objectives.

A member is the only class in its file that derives from the base class of the group. The member has the name of the
file: `custom/data/sensors.py` is `data=sensors`. Nothing else registers a member.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from pipeline.custom_code import CUSTOM, import_custom, location_of
from pipeline.data.source import DataSource
from pipeline.errors import ConfigError
from pipeline.models.model import ModelOptions
from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import Options
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

# group -> (base class, package of the project's members, folder of the user's members under custom/)
GROUPS: dict[str, tuple[type[Options], str, str]] = {
    "data": (DataSource, "pipeline.data.sources", "data"),
    "model": (ModelOptions, "pipeline.models", "models"),
    "objective": (ObjectiveOptions, "pipeline.objectives", "objectives"),
}
ENGINES: dict[str, type[Options]] = {"fit": Fit, "tape": Tape}


@cache
def members(group: str) -> dict[str, type[Options]]:
    """Return the members of a group by name, the project's own first.

    Raises:
        ConfigError: A file under custom/ cannot be imported, does not define exactly one member, or has a name that is
            already used.
    """
    if group == "training":
        return ENGINES
    base, package, folder = GROUPS[group]
    by_name: dict[str, type[Options]] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        classes = defined(importlib.import_module(f"{package}.{name}"), base)
        if classes:
            (by_name[name],) = classes
    for path in sorted((CUSTOM / folder).glob("[!_]*.py")):
        if path.stem in by_name:
            raise ConfigError(
                f"{path}: expected a unique name; found {group}={path.stem} in {location_of(by_name[path.stem])} "
                "too. Rename the file."
            )
        classes = defined(import_custom(path), base)
        if len(classes) != 1:
            listed = "".join(f", {item.__name__} in line {location_of(item).rpartition(' ')[2]}" for item in classes)
            raise ConfigError(
                f"{path}: expected one class that derives from {base.__name__} ({base.__module__}); "
                f"found {len(classes)}{listed}."
            )
        (by_name[path.stem],) = classes
    return by_name


def defined(module: ModuleType, base: type) -> list[type]:
    """Return the classes derived from a base class that a module defines. Imported classes are left out."""
    return [
        item
        for item in vars(module).values()
        if not isinstance(item, ModuleType)  # must come before isinstance(item, type), which would import a lazy module
        and isinstance(item, type)
        and issubclass(item, base)
        and item is not base
        and item.__module__ == module.__name__
    ]
