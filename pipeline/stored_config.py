"""Write and read the config of a run as YAML, and convert OmegaConf values to a Config."""

from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from pipeline import yaml_files
from pipeline.config import Config
from pipeline.data.source import DataSource
from pipeline.errors import ConfigError, RunError
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, choices, is_section, walk
from pipeline.overrides import escape_interpolation, shell_argument


def to_yaml(config: Config) -> str:
    """Return the text of config.yaml: every value, and the chosen member of each group."""
    values = without_interpolation({"choices": choices(config), **asdict(config)})
    return OmegaConf.to_yaml(OmegaConf.create(values), resolve=True)


def read(path: Path) -> Config:
    """Read the config.yaml of a run.

    Raises:
        RunError: The file is not the config of a run.
        ConfigError: A value is outside the limits of its option.
    """
    return to_config(load(path))


def load(path: str | Path) -> DictConfig:
    """Load the config.yaml of a run. The types of the options are checked, but not their limits.

    Interpolations such as ${oc.env:NAME} are text here: a stored config may come from anyone.

    Raises:
        RunError: The file is not the config of a run.
    """
    try:
        values = yaml_files.read(Path(path))
        chosen = values.pop("choices")
        typed = OmegaConf.structured(Config)
        for group in CHOICE_GROUPS:
            typed[group] = OmegaConf.structured(members(group)[chosen[group]])
        merged = OmegaConf.merge(typed, OmegaConf.create(without_interpolation(values)))
        assert isinstance(merged, DictConfig)
        return merged
    except OSError as error:
        raise RunError(f"{path}: expected the config of a run; {error.strerror or error}.") from None
    except Exception as error:  # YAML, OmegaConf or a lookup above failed: the file is not a config.yaml of a run
        raise RunError(f"{path}: expected the config.yaml of a run; {str(error).splitlines()[0]}.") from None


def without_interpolation(value: Any) -> Any:
    """Escape every `${` in the texts of nested dicts and lists, so that OmegaConf does not resolve it."""
    if isinstance(value, dict):
        return {key: without_interpolation(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_interpolation(entry) for entry in value]
    if isinstance(value, str):
        return escape_interpolation(value)
    return value


@dataclass(frozen=True, kw_only=True)
class StoredValues:
    """Values of a stored config that only the caller of a command may set, and that differ from those of the caller.

    Attributes:
        deciding: Dotted key -> value of those that decide the result, such as the path of the data.
        others: Dotted key -> value of the others, such as the database.
    """

    deciding: dict[str, Any]
    others: dict[str, Any]


def take_from_caller(config: DictConfig, caller: Config) -> StoredValues:
    """Replace the values of a stored config that only the caller of a command may set: SECURITY.md has the reason.

    Args:
        config: The stored config. The sections of the caller and all paths are replaced in place.
        caller: The config of the caller.
    """
    replaced = StoredValues(deciding={}, others={})
    for section in fields(Config):
        options, own = config[section.name], getattr(caller, section.name)
        if not is_dataclass(own):
            continue
        of_caller = section.metadata["caller_only"]
        owner = OmegaConf.get_type(options)
        assert owner is not None
        values = OmegaConf.to_container(options, resolve=True)
        assert isinstance(values, dict)
        for item in fields(owner):
            if is_section(item) or not (of_caller or item.metadata["path"]):
                continue
            value = values[item.name]
            new = getattr(own, item.name) if of_caller else item.default
            decides = section.metadata["changes_result"] and (item.metadata["changes_result"] or item.metadata["path"])
            if value != new and section.name != "run":  # the name and the folder of a run are always the caller's
                (replaced.deciding if decides else replaced.others)[f"{section.name}.{item.name}"] = value
            options[item.name] = new
    return replaced


def path_arguments(data: DataSource) -> list[str]:
    """Return the arguments that name the files of a data source, as they are typed in a shell."""
    return [shell_argument(key, path) for key, path, item in walk(data, "data.") if item.metadata["path"] and path]


def to_config(values: DictConfig) -> Config:
    """Convert typed values to a Config. The limits of every option are checked, and then the sections together.

    Raises:
        ConfigError: A value is wrong.
    """
    try:
        config = OmegaConf.to_object(values)
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise explain(error) from None
    assert isinstance(config, Config)
    config.check_sections()
    return config


def explain(error: Any) -> ConfigError:
    """Return a ConfigError that names the option.

    Args:
        error: An OmegaConf error, which has the key of the option as `full_key`.
    """
    if isinstance(error, ConfigKeyError):
        return ConfigError(f"{error.full_key}: there is no such option.")
    return ConfigError(f"{error.full_key}: {str(error).splitlines()[0].rstrip('.')}.")
