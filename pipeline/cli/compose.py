"""Compose one Config from the presets and the command line. The only module that uses Hydra."""

import logging
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from pipeline import stored_config
from pipeline.cli import arguments
from pipeline.config import Config
from pipeline.custom_code import PROJECT
from pipeline.errors import ConfigError, nearest
from pipeline.evaluation.options import Drift, Evaluation
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, Options
from pipeline.overrides import shell_argument

logger = logging.getLogger(__name__)

DICT_OPTION = "reference_type=Dict["  # in OmegaConf's message on a key that a dict does not have yet
PRESETS = PROJECT / "configs"
PRESET_GROUPS = (*CHOICE_GROUPS, "optimizer", "registry")  # folders of configs/ whose files fill one section


def compose(overrides: list[str]) -> Config:
    """Compose a config from the presets and overrides.

    Args:
        overrides: `key=value`, in Hydra's grammar.

    Raises:
        ConfigError: A key or choice is unknown, or a value has a wrong type or range.
    """
    return _to_config(_compose(overrides))


def draft(overrides: list[str]) -> tuple[dict[str, Any], dict[str, type[Options]]]:
    """Compose without validation, so that required values may be missing.

    Returns:
        The values of the config as nested dicts, and the class of each section with a choice.
    """
    composed = _compose(overrides)
    values = OmegaConf.to_container(composed)
    assert isinstance(values, dict)
    types: dict[str, type[Options]] = {}
    for group in CHOICE_GROUPS:
        member = OmegaConf.get_type(composed[group])
        assert member is not None
        types[group] = member
    return {str(key): value for key, value in values.items()}, types


def stored(path: str | Path, overrides: list[str], caller: Config) -> Config:
    """Read the config.yaml of a run and apply overrides.

    An override that chooses a data source (data=idx) replaces the stored source as a whole. Paths, the registry, the
    hardware and the environment are those of the caller.

    Args:
        path: The config.yaml.
        overrides: `key=value`, in Hydra's grammar.
        caller: The config of the caller, composed from `caller_overrides(overrides)`.

    Raises:
        RunError: The file is not the config of a run.
        ConfigError: An override is wrong, as for `compose`, or the caller does not set a value that decides the result
            and that a stored config may not set.
    """
    kept = stored_config.load(path)
    kept.evaluation.split, kept.drift.split = Evaluation().split, Drift().split  # the stored ones do not apply
    replaced = stored_config.take_from_caller(kept, caller)
    overrides = in_grammar(overrides)
    given = {override.key_or_group for override in _parse(overrides)}
    if "data" in given:
        data = [override for override in overrides if override.lstrip("+").startswith(("data=", "data."))]
        kept.data = _compose(data).data
        overrides = [override for override in overrides if override not in data]
    _apply(kept, [override for override in overrides if not _is_of_caller(override)])
    _require_caller_values(path, {key: value for key, value in replaced.deciding.items() if not _is_given(key, given)})
    _report_unused_values(path, {key: value for key, value in replaced.others.items() if not _is_given(key, given)})
    return _to_config(kept)


def caller_overrides(overrides: list[str]) -> list[str]:
    """Return the overrides of the sections that a stored config never sets."""
    return [override for override in overrides if _is_of_caller(override)]


def _is_of_caller(override: str) -> bool:
    sections = {item.name for item in fields(Config) if item.metadata.get("caller_only")}
    return re.split(r"[.=]", override.lstrip("+"), maxsplit=1)[0] in sections


def _is_given(key: str, given: set[str]) -> bool:
    """Return whether the caller sets an option: itself, by its group, or by the path of the data that it belongs to."""
    section = key.partition(".")[0]
    return bool({key, section} & given) or (section == "data" and "data.path" in given)


def _require_caller_values(path: str | Path, values: dict[str, Any]) -> None:
    """Raise an error if a stored config has values that decide the result, but that only the caller may set.

    Raises:
        ConfigError: It has.
    """
    if values:
        raise ConfigError(
            f"{path}: expected {', '.join(values)} in the command, since the config of a run may come from anyone; "
            f"found it only there. If you trust it, add: {_arguments(values)}"
        )


def _report_unused_values(path: str | Path, values: dict[str, Any]) -> None:
    """Log the values of a stored config that are not used, since only the caller may set them."""
    if values:
        logger.warning(
            "%s: %s is not used, since the config of a run may come from anyone. If you trust it, add: %s",
            path,
            ", ".join(values),
            _arguments(values),
        )


def _arguments(values: dict[str, Any]) -> str:
    """Return the arguments that set options, as they are typed in a shell."""
    return " ".join(shell_argument(key, value) for key, value in values.items())


def _apply(config: DictConfig, overrides: list[str]) -> None:
    """Set the values of overrides in a stored config.

    Raises:
        ConfigError: An option does not exist or has another type, or a choice of the run would change.
    """
    for override in _parse(overrides):
        key = override.key_or_group
        if key in PRESET_GROUPS:
            raise ConfigError(f"{key}: a stored run keeps its {key}. Only data can be chosen again: data=NAME.")
        if OmegaConf.select(config, key, throw_on_missing=False) is None and key not in _keys(config):
            raise _unknown_key(key, _keys(config))
        value = override.value()
        if isinstance(OmegaConf.select(config, key, throw_on_missing=False), ListConfig) and isinstance(value, str):
            value = [value]
        try:
            OmegaConf.update(config, key, value)
        except OmegaConfBaseException as error:
            raise stored_config.explain(error) from None


def choices(group: str) -> dict[str, str]:
    """Return the choices of a group, with one line of description each.

    Args:
        group: One of PRESET_GROUPS, or "experiment".

    Returns:
        The members of the group, described by the first line of their docstring, and the presets under configs/,
        described by the first line of their comment.
    """
    found = {}
    if group in CHOICE_GROUPS:
        found = {name: (member.__doc__ or "").partition("\n")[0] for name, member in members(group).items()}
    for path in sorted((PRESETS / group).glob("*.yaml")):
        comments = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
        found[path.stem] = next((line for line in comments if not line.startswith("@package")), "")
    return found


def _compose(overrides: list[str]) -> DictConfig:
    _register()
    overrides = in_grammar(overrides)
    for override in _parse(overrides):
        _check_form(override)
    try:
        with initialize_config_dir(str(PRESETS), version_base="1.3"):
            return hydra_compose("config", overrides)
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").partition("/")
        raise ConfigError(f"{group}={name}: there is no such choice. {nearest(name, choices(group))}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        location = f"{mark.name}, line {mark.line + 1}" if mark else str(PRESETS)
        raise ConfigError(f"{location}: expected a preset in plain YAML; {error.problem}. Fix the file.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{PRESETS}: expected presets in plain YAML; found: {' '.join(str(error).split())}. Fix the file."
        ) from None
    except (ConfigCompositionException, OmegaConfBaseException) as error:
        corrected = _with_list(error, overrides) or _with_new_entries(error, overrides)
        if not corrected:
            raise _explain(error, overrides) from None
    return _compose(corrected)  # outside the handler: a second error must not have the first one as its context


def _check_form(override: Override) -> None:
    """Check that an override sets one option, or chooses a member of a group by its name.

    Raises:
        ConfigError: It does not.
    """
    if override.is_sweep_override():
        raise ConfigError(
            f"{override.input_line}: expected one value; found several. Set "
            f"{arguments.sweep_fixes(str(override.input_line))}."
        )
    if override.is_delete():
        raise ConfigError(f"{override.input_line}: a key cannot be removed, only set.")
    key = override.key_or_group
    if not key:
        raise ConfigError(f"{override.input_line}: expected KEY=VALUE; found no key.")
    if key in (*PRESET_GROUPS, "experiment") and not isinstance(override.value(), str):
        raise ConfigError(f"{override.input_line}: expected the name of a choice. {nearest('', choices(key))}")


def in_grammar(overrides: list[str]) -> list[str]:
    """Return the overrides in Hydra's grammar. Values that Hydra cannot parse are quoted if their meaning is clear."""
    return [override if _is_read(override) else arguments.in_grammar(override) or override for override in overrides]


def _is_read(override: str) -> bool:
    """Return whether Hydra can parse an override, and would not read a blank value as an empty one."""
    value = override.partition("=")[2]
    if value and not value.strip():
        return False
    try:
        OverridesParser.create().parse_overrides([override])
    except OverrideParseException:
        return False
    return True


def _with_list(error: BaseException, overrides: list[str]) -> list[str] | None:
    """Return the overrides with a list of one entry where an option that takes a list got one value; None elsewhere."""
    cause = _validation_error(error)
    key = getattr(cause, "full_key", None)
    if cause is None or "ListConfig" not in str(cause):
        return None
    given = [override for override in overrides if override.partition("=")[0].lstrip("+") == key]
    if not given or given[-1].partition("=")[2].startswith("["):
        return None
    return [arguments.as_list(override) if override in given else override for override in overrides]


def _with_new_entries(error: BaseException, overrides: list[str]) -> list[str] | None:
    """Return the overrides with `+` where Hydra would not add entries to an option that is a dict; None elsewhere."""
    refused = re.match(r"Could not override '(.+?)'", str(error))
    if refused is None or DICT_OPTION not in str(error.__cause__):
        return None
    return [f"+{override}" if override.partition("=")[0] == refused[1] else override for override in overrides]


def _validation_error(error: BaseException | None) -> ValidationError | None:
    """Return the error of OmegaConf's types behind an error, if there is one."""
    while error is not None and not isinstance(error, ValidationError):
        error = error.__cause__ or error.__context__
    return error


def _register() -> None:
    """Make the dataclasses known to Hydra: each as a schema for presets, and as a choice if no preset has its name."""
    _store("schema", "config", Config)
    for group in CHOICE_GROUPS:
        for name, member in members(group).items():
            _store(f"schema/{group}", name, member)
            if not (PRESETS / group / f"{name}.yaml").exists():
                _store(group, name, member)


@cache
def _store(group: str, name: str, node: type[Options]) -> None:
    """Store a dataclass in Hydra's store of the process: once, since the conversion takes most of a composition."""
    ConfigStore.instance().store(group=group, name=name, node=node)


def _parse(overrides: list[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise ConfigError(
            f"cannot read {error.override!r}. Expected KEY=VALUE, quoted if the shell would split it: "
            "'model.hidden=[64,32]'. Close brackets and quotes; a text with quotes, brackets or commas needs quotes of "
            "its own: 'data.labels=[\"Income [EUR], net\"]'."
        ) from None


def _explain(error: Exception, overrides: list[str]) -> ConfigError:
    cause = _validation_error(error)
    if cause is not None:
        return stored_config.explain(cause)
    groups = [*PRESET_GROUPS, "experiment"]
    choices_only = [override.input_line for override in _parse(overrides) if override.key_or_group in groups]
    if len(choices_only) == len(overrides):
        reason = " ".join(str(error).splitlines()[:2])
        return ConfigError(
            f"{' '.join(overrides)}: these choices cannot be combined, since an experiment also sets options of its "
            f"own choices. Hydra reports: {reason}"
        )
    known = _keys(_compose([line for line in choices_only if line])) | set(groups)
    for override in _parse(overrides):
        if override.key_or_group not in known and not override.is_add() and not override.is_force_add():
            return _unknown_key(override.key_or_group, known)
    cause = error.__cause__
    if "Cannot merge DictConfig" in str(cause):
        key = getattr(cause, "full_key", "")
        given = next((override.input_line for override in _parse(overrides) if override.key_or_group == key), key)
        return ConfigError(f"{given}: expected '{key}={{NAME: VALUE}}'; found another form.")
    return ConfigError(str(error))


def _unknown_key(key: str, known: set[str]) -> ConfigError:
    group, _, name = key.partition(".")
    first = name.partition(".")[0]
    owners = [
        f"{group}={choice}"
        for choice, member in (members(group) if group in CHOICE_GROUPS else {}).items()
        if first in {item.name for item in fields(member)}
    ]
    if owners and f"{group}.{first}" not in known:
        return ConfigError(f"{key}: the chosen {group} has no such option. It belongs to {' and '.join(owners)}.")
    return ConfigError(f"{key}: there is no such option. {nearest(key, known)}")


def _keys(node: DictConfig, prefix: str = "") -> set[str]:
    """Return every dotted key of a composed config, of sections and of their options."""
    found = set()
    for name in node:
        found.add(f"{prefix}{name}")
        if isinstance(OmegaConf.select(node, str(name)), DictConfig):
            found |= _keys(node[name], f"{prefix}{name}.")
    return found


def _to_config(values: DictConfig) -> Config:
    config = stored_config.to_config(values)
    for key in _undeclared(config):
        known = set(_declared(config))
        raise ConfigError(f"{key}: there is no such option, and + cannot add one. {nearest(key, known)}")
    _decode_keys(config)
    return config


def _decode_keys(node: Any) -> None:
    """Give the dicts among the options of a section the keys that were typed."""
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            _decode_keys(value)
        elif isinstance(value, dict):
            decoded = {arguments.decoded_key(key): entry for key, entry in value.items()}
            value.clear()
            value.update(decoded)


def _undeclared(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys that Hydra's `+` put on a config although its dataclass declares no such field."""
    declared = {item.name for item in fields(node)}
    for name, value in vars(node).items():
        if name not in declared:
            yield prefix + name
        elif is_dataclass(value):
            yield from _undeclared(value, f"{prefix}{name}.")


def _declared(node: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(node):
        yield prefix + item.name
        if is_dataclass(getattr(node, item.name)):
            yield from _declared(getattr(node, item.name), f"{prefix}{item.name}.")
