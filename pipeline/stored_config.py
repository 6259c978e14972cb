"""Write and read the config of a run as YAML, and convert OmegaConf values to a Config."""

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from pipeline import yaml_files
from pipeline.config import Config
from pipeline.errors import ConfigError, RunError
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, choices, flatten
from pipeline.overrides import escape_interpolation


def to_yaml(config: Config) -> str:
    """Return the text of config.yaml: every value, and the chosen member of each group."""
    return OmegaConf.to_yaml(OmegaConf.create({"choices": choices(config), **asdict(config)}))


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


def take_from_caller(config: DictConfig, caller: Config) -> dict[str, Any]:
    """Replace the values of a stored config that only the caller of a command may set: SECURITY.md has the reason.

    Args:
        config: The stored config. The sections of the caller and all paths are replaced in place.
        caller: The config of the caller.

    Returns:
        The replaced values that differ from those of the caller, by dotted key. Names of runs are not among them.
    """
    stored = {}
    for section in fields(Config):
        options = config[section.name]
        if section.metadata.get("caller_only"):
            own = getattr(caller, section.name)
            values = OmegaConf.to_container(options, resolve=True)
            assert isinstance(values, dict)
            values = dict(flatten({str(name): value for name, value in values.items()}, f"{section.name}."))
            own_values = dict(flatten(asdict(own), f"{section.name}."))
            stored |= {key: value for key, value in values.items() if value != own_values[key]}
            config[section.name] = OmegaConf.structured(own)
        elif (owner := OmegaConf.get_type(options)) and is_dataclass(owner):
            for item in fields(owner):
                if item.metadata.get("path") and options[item.name] != item.default:
                    stored[f"{section.name}.{item.name}"] = options[item.name]
                    options[item.name] = item.default
    return {key: value for key, value in stored.items() if not key.startswith("run.")}


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
