"""Write and read the config of a run as YAML, and convert OmegaConf values to a Config."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from pipeline.config import Config
from pipeline.errors import ConfigError, RunError
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, choices


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
