"""From command line and YAML presets to one Config. The only module that knows Hydra and OmegaConf."""

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from pipeline.config import GROUPS, Config, chosen, stray_keys
from pipeline.errors import ConfigError, RunError, nearest

PRESETS = Path(__file__).parents[1] / "configs"


def compose(overrides):
    """The Config that the presets and these overrides (`key=value`, in Hydra's grammar) make together.

    Raises ConfigError: an unknown key or choice, with the nearest known ones; a value of the wrong type or range.
    """
    return _to_config(_compose(overrides))


def draft(overrides):
    """What `compose` would check: (values, types), where a required value may still be missing.

    values: nested dict of the config. types: group -> the dataclass that was chosen.
    """
    composed = _compose(overrides)
    return OmegaConf.to_container(composed), {group: OmegaConf.get_type(composed[group]) for group in GROUPS}


def stored(path, overrides):
    """The Config kept in a run's config.yaml, with overrides on top.

    Overrides of `data` given as a choice (data=idx) replace the stored data set whole. Raises RunError where the file
    is not one of ours, ConfigError as `compose` does.
    """
    kept = _read(path)
    choices = [override for override in _parse(overrides) if override.key_or_group == "data"]
    if choices:
        data = [override for override in overrides if override.lstrip("+").startswith(("data=", "data."))]
        kept.data = _compose(data).data
        overrides = [override for override in overrides if override not in data]
    for override in _parse(overrides):
        key = override.key_or_group
        if key in GROUPS:
            raise ConfigError(f"{key}: a stored run keeps its {key}. Only data can be chosen anew: data=NAME.")
        if OmegaConf.select(kept, key, throw_on_missing=False) is None and key not in _keys(kept):
            raise _unknown_key(key, _keys(kept))
        try:
            OmegaConf.update(kept, key, override.value())
        except OmegaConfBaseException as error:
            raise _explain_value(error) from None
    return _to_config(kept)


def to_yaml(config):
    """The text of config.yaml: every value, and which member of each group was chosen."""
    return OmegaConf.to_yaml(OmegaConf.create({"choices": chosen(config), **asdict(config)}))


def choices(group):
    """The presets of a group (data, model, ..., experiment) with the first line of each file's comment."""
    presets = {}
    for path in sorted((PRESETS / group).glob("*.yaml")):
        comments = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
        presets[path.stem] = next((line for line in comments if not line.startswith("@package")), "")
    return presets


def _compose(overrides):
    _register()
    for override in _parse(overrides):
        if override.is_delete():
            raise ConfigError(f"{override.input_line}: a key cannot be taken away, only set.")
    try:
        with initialize_config_dir(str(PRESETS), version_base="1.3"):
            return hydra_compose("config", overrides)
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").partition("/")
        raise ConfigError(f"{group}={name}: there is no such choice. {nearest(name, choices(group))}") from None
    except (ConfigCompositionException, OmegaConfBaseException) as error:
        raise _explain(error, overrides) from None


def _register():
    """Make the dataclasses known to Hydra, away from the presets, so that they don't show up as choices."""
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config)
    for group, members in GROUPS.items():
        for name, member in members.items():
            store.store(group=f"schema/{group}", name=name, node=member)


def _parse(overrides):
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise ConfigError(
            f"cannot read {error.override!r}. Expected KEY=VALUE, quoted where the shell would take it apart: "
            "'model.hidden=[64,32]'."
        ) from None


def _explain(error, overrides):
    cause = error
    while cause is not None and not isinstance(cause, ValidationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return _explain_value(cause)
    groups = [*GROUPS, "experiment"]
    choices_only = [override.input_line for override in _parse(overrides) if override.key_or_group in groups]
    if len(choices_only) == len(overrides):
        said = " ".join(str(error).splitlines()[:2])
        return ConfigError(
            f"{' '.join(overrides)}: these choices do not go together, since an experiment also sets keys of what it "
            f"chose itself. Hydra says: {said}"
        )
    known = _keys(_compose(choices_only)) | set(groups)
    for override in _parse(overrides):
        if override.key_or_group not in known and not override.is_add() and not override.is_force_add():
            return _unknown_key(override.key_or_group, known)
    return ConfigError(str(error))


def _unknown_key(key, known):
    group, _, name = key.partition(".")
    owners = [
        f"{group}={choice}"
        for choice, member in GROUPS.get(group, {}).items()
        if name.split(".")[0] in {item.name for item in fields(member)}
    ]
    if owners and f"{group}.{name.split('.')[0]}" not in known:
        return ConfigError(f"{key}: what was chosen for {group} has no such key. It is one of {' and '.join(owners)}.")
    return ConfigError(f"{key}: there is no such key. {nearest(key, known)}")


def _explain_value(error):
    if isinstance(error, ConfigKeyError):
        return ConfigError(f"{error.full_key}: there is no such key.")
    return ConfigError(f"{error.full_key}: {str(error).splitlines()[0].rstrip('.')}.")


def _keys(node, prefix=""):
    """Every dotted key of a composed config, those of its parts included."""
    found = set()
    for name in node:
        found.add(prefix + name)
        if isinstance(OmegaConf.select(node, name), DictConfig):
            found |= _keys(node[name], f"{prefix}{name}.")
    return found


def _to_config(composed):
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise _explain_value(error) from None
    for key in stray_keys(config):
        raise ConfigError(f"{key}: there is no such key, and + cannot add one. {nearest(key, _known(config))}")
    return config


def _known(config, prefix=""):
    for item in fields(config):
        yield prefix + item.name
        if is_dataclass(getattr(config, item.name)):
            yield from _known(getattr(config, item.name), f"{prefix}{item.name}.")


def _read(path):
    try:
        values = OmegaConf.load(path)
        members = values.pop("choices")
        kept = OmegaConf.structured(Config)
        for group, name in members.items():
            kept[group] = OmegaConf.structured(GROUPS[group][name])
        return OmegaConf.merge(kept, values)
    except OSError as error:
        raise RunError(f"{path}: expected the config of a run; {error.strerror or error}.") from None
    except Exception as error:  # YAML's, OmegaConf's and our own lookups: whatever it is, the file is not ours
        raise RunError(f"{path}: expected the config.yaml of a run; {str(error).splitlines()[0]}.") from None
