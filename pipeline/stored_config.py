"""Write and read the config of a run as YAML, and convert OmegaConf values to a Config."""

import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from pipeline.config import Config
from pipeline.errors import ConfigError, RunError
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, READ, choices


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


def without_files_of_training(config: Config, folder: Path) -> Config:
    """Remove the other data files of a stored run from the config of a command that sets another `data.path`.

    `data.validation_path` and `data.test_path` of the run belong to its training file. If the test file stayed in the
    config, it would be evaluated instead of the new file. A path that the command itself sets is kept.

    Args:
        config: The stored config with the overrides of the command.
        folder: The run folder.

    Raises:
        RunError: The config of the run is damaged.
    """
    trained, data = read(folder / "config.yaml").data, config.data
    names = [item.name for item in fields(data) if item.metadata.get("path") == READ]
    if type(data) is not type(trained) or "path" not in names:
        return config
    without: dict[str, Any] = {
        name: "" for name in names if os.path.realpath(getattr(data, name)) == os.path.realpath(getattr(trained, name))
    }
    return config if "path" in without else replace(config, data=replace(data, **without))


def load(path: str | Path) -> DictConfig:
    """Load the config.yaml of a run. The types of the options are checked, but not their limits.

    Raises:
        RunError: The file is not the config of a run.
    """
    try:
        values = OmegaConf.load(path)
        if not isinstance(values, DictConfig):
            raise TypeError("found a list")
        chosen = values.pop("choices")
        typed = OmegaConf.structured(Config)
        for group in CHOICE_GROUPS:
            typed[group] = OmegaConf.structured(members(group)[chosen[group]])
        merged = OmegaConf.merge(typed, values)
        assert isinstance(merged, DictConfig)
        return merged
    except OSError as error:
        raise RunError(f"{path}: expected the config of a run; {error.strerror or error}.") from None
    except Exception as error:  # YAML, OmegaConf or a lookup above failed: the file is not a config.yaml of a run
        raise RunError(f"{path}: expected the config.yaml of a run; {str(error).splitlines()[0]}.") from None


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
