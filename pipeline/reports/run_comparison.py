"""Two runs side by side: their scores first, then what differs between them."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from pipeline.reports.formatting import align_columns, format_number

MAX_WIDTH = 40  # characters of a value
MISSING = "-"
TITLES = {
    "metrics": "scores",
    "config": "options",
    "architecture": "architecture",
    "data": "data",
    "environment": "environment",
    "run": "run",
}
# keys of serialized Keras objects that are not settings
BOOKKEEPING = ("module", "registered_name", "build_config", "compile_config", "inbound_nodes")
WIRING = ("name", "layers", "input_layers", "output_layers")  # the same, in the config of a layer or model
SIZES = ("units", "filters", "kernel_size", "pool_size", "rate", "num_heads", "key_dim", "input_dim", "output_dim")

Provenance = dict[str, dict[str, Any]]
Differences = dict[str, dict[str, tuple[Any, Any]]]


def find_differences(one: Provenance, other: Provenance) -> Differences:
    """Return the values that differ between two runs.

    Args:
        one: The provenance of a run, as `registry.queries.read_provenance` returns it.
        other: The provenance of another run.

    Returns:
        Section -> key -> the two values, None if a run has no such key. Dicts, and lists of dicts, are split into
        their entries.
    """
    flat = [{section: dict(_flatten(values)) for section, values in run.items()} for run in (one, other)]
    return {section: _differing(flat[0][section], flat[1][section]) for section in one}


def comparison_table(names: tuple[str, str], one: Provenance, other: Provenance) -> str:
    """Return the comparison of two runs as text: all scores, then the differences by section.

    Layers are matched by their class and order. A pair of layers is one line, with the settings that differ.

    Args:
        names: The names of the two runs.
        one: The provenance of the first, as `registry.queries.read_provenance` returns it.
        other: The provenance of the second.
    """
    sections = {section: _difference_rows(one[section], other[section]) for section in TITLES}
    sections["metrics"] = _score_rows(one["metrics"], other["metrics"])
    sections["architecture"] = _architecture_rows(one["architecture"], other["architecture"])
    rows = [("", *names)]
    for section, found in sections.items():
        if found:
            rows += [(TITLES[section], "", ""), *(("  " + key, a, b) for key, a, b in found)]
    same = [TITLES[section] for section, found in sections.items() if not found]
    return "\n".join([*align_columns(rows), *([f"the same: {', '.join(same)}"] if same else [])])


# ---- rows: (name, text of one run, text of the other) ---------------------------------------------------------------

Row = tuple[str, str, str]


def _score_rows(one: dict[str, Any], other: dict[str, Any]) -> list[Row]:
    return [(name, _score(one.get(name)), _score(other.get(name))) for name in {**one, **other}]


def _difference_rows(one: dict[str, Any], other: dict[str, Any]) -> list[Row]:
    pairs = _differing(dict(_flatten(one)), dict(_flatten(other)))
    return [(key, _short(a), _short(b)) for key, (a, b) in pairs.items()]


def _architecture_rows(one: dict[str, Any], other: dict[str, Any]) -> list[Row]:
    totals = [{key: run[key] for key in ("parameters", "digest")} for run in (one, other)]
    models = [run["model"] for run in (one, other)]
    rows = _difference_rows(*totals)
    rows += _difference_rows(*(_settings(model) for model in models))
    return rows + [("layer", a, b) for a, b in _layer_pairs(*(list(_layers(model)) for model in models))]


def _layer_pairs(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the texts of each pair of layers that differ; MISSING if only one model has the layer."""
    classes = [[layer["class_name"] for layer in layers] for layers in (one, other)]
    matcher = SequenceMatcher(a=classes[0], b=classes[1], autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        for a, b in zip_longest(one[start:end], other[other_start:other_end]):
            if kind != "equal":
                yield _layer(a), _layer(b)
            elif changed := _differing(_settings(a), _settings(b)):
                one_side, other_side = ({key: pair[side] for key, pair in changed.items()} for side in (0, 1))
                yield _layer_text(a, one_side), _layer_text(b, other_side)


def _layer(layer: dict[str, Any] | None) -> str:
    if layer is None:
        return MISSING
    return _layer_text(layer, {key: layer["config"][key] for key in SIZES if key in layer["config"]})


def _layer_text(layer: dict[str, Any], settings: dict[str, Any]) -> str:
    return _short(f"{layer['class_name']} " + ", ".join(f"{key}={value}" for key, value in settings.items()))


def _score(score: dict[str, Any] | None) -> str:
    if score is None:
        return MISSING
    value, low, high = (
        MISSING if score[key] is None else format_number(score[key]) for key in ("value", "low", "high")
    )
    return value if low == high == MISSING else f"{value} [{low}, {high}]"


def _short(value: Any) -> str:
    text = MISSING if value is None else format_number(value) if isinstance(value, float) else str(value).strip()
    return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 3] + "..."


# ---- nested values --------------------------------------------------------------------------------------------------


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = {**one, **other}
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of every entry: {"a": [{"b": [1, 2]}]} gives ("a[0].b", [1, 2])."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _flatten(entry, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        for index, entry in enumerate(value):
            yield from _flatten(entry, f"{path}[{index}]")
    else:
        yield path, value


def _layers(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every layer of a serialized model, with those of the models in it."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "layers" and isinstance(value, list):
                yield from value
            yield from _layers(value)
    elif isinstance(node, list):
        for entry in node:
            yield from _layers(entry)


def _settings(node: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer or model by path, without its name and the layers in it."""
    config = {key: value for key, value in node.get("config", {}).items() if key not in WIRING}
    flat = _flatten(node | {"config": config} if config else node)
    kept = {path: value for path, value in flat if not set(re.split(r"[.\[]", path)) & set(BOOKKEEPING)}
    return {path.removeprefix("config."): value for path, value in kept.items()}
