"""Checkpoints: the whole state of a training, written atomically and checked by digest when it is read.

One file holds the variables (weights, seed generators, optimizer slots and step, metrics inside an epoch), the state of
the callbacks, the logs of the epochs, the position in the data and the wall time. The first line of the file is the
sha256 of the rest. The rest is a line of JSON and the bytes of the arrays that this line lists.
"""

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.errors import RunError
from pipeline.files import atomic_write, read_limited
from pipeline.runtime import machine_memory
from pipeline.training.objective import Objective
from pipeline.typed_json import AnyNumber, convert, parse

SUFFIX = ".ckpt"
FORMAT = 2  # increased when the header changes
DTYPE = re.compile(r"[<|][biuf]\d{1,2}")  # of an array
# callback -> attribute that a resumed run needs -> its kind in the header; Keras's own savers leave them out
CALLBACK_STATE: dict[str, dict[str, Any]] = {
    "EarlyStopping": {
        "wait": int,
        "best": AnyNumber | None,
        "best_weights": None,  # unless they are among the arrays
        "best_epoch": int,
        "stopped_epoch": int,
    },
    "ReduceLROnPlateau": {"wait": int, "best": AnyNumber | None, "cooldown_counter": int},
    "EpochHistory": {"rows": list[dict[str, AnyNumber]]},
}
ARRAY_LISTS = ("EarlyStopping/best_weights",)  # attributes that may be lists of arrays


@dataclass(frozen=True)
class State:
    """The state of a training between two steps.

    Attributes:
        epoch: Number of the epoch of the next step, counted from 0.
        step: Number of the next step in that epoch, counted from 0. After the last step of the epoch, it is the number
            of steps per epoch, and validation comes next.
        finished: Whether early stopping has ended the training.
        arrays: Variable name -> value. The names are those of `Objective.variables`. Empty before the first step.
        callbacks: Class name -> attribute -> value.
        best: Score and epoch of the best checkpoint so far; a smaller score is better.
        seconds: Wall time of all processes of the run together.
        run: What binds it to its run, from `runs.identity.binding`.
    """

    epoch: int = 0
    step: int = 0
    finished: bool = False
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: tuple[float, int] | None = None
    seconds: float = 0.0
    run: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The line of JSON in a checkpoint; arrays: the name, dtype and shape of each array that follows."""

    format: int
    run: dict[str, str]
    epoch: int
    step: int
    finished: bool
    best: tuple[AnyNumber, int] | None
    seconds: float
    callbacks: dict[str, dict[str, Any]]
    arrays: list[tuple[str, str, tuple[int, ...]]]


def capture(
    objective: Objective,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    epoch: int,
    step: int,
    finished: bool,
    best: tuple[float, int] | None = None,
    metrics: dict[str, np.ndarray] | None = None,
    seconds: float = 0.0,
    run: Mapping[str, str],
) -> State:
    """Capture the current state of an objective and its callbacks.

    Args:
        objective: The objective, whose model is compiled.
        callbacks: The callbacks of the training.
        epoch: As in State.
        step: As in State.
        finished: As in State.
        best: As in State.
        metrics: Metric values to store instead of the current ones, from `metric_values`.
        seconds: As in State.
        run: As in State.
    """
    variables = {name: keras.ops.convert_to_numpy(variable) for name, variable in objective.variables().items()}
    return State(
        epoch,
        step,
        finished,
        variables | (metrics or {}),
        {
            type(callback).__name__: {name: getattr(callback, name) for name in CALLBACK_STATE[type(callback).__name__]}
            for callback in callbacks
            if type(callback).__name__ in CALLBACK_STATE
        },
        best,
        seconds,
        run,
    )


def metric_values(objective: Objective) -> dict[str, np.ndarray]:
    """Return variable name -> value of the metrics of the model. The names are those of `Objective.variables`."""
    metrics = {id(variable) for variable in objective.model.metrics_variables}
    return {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in objective.variables().items()
        if id(variable) in metrics
    }


def restore(state: State, objective: Objective, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Restore a state into an objective, whose model is compiled, and its callbacks.

    Raises:
        RunError: The state has other variables, or arrays of other shapes or types.
    """
    known = objective.variables()
    if known.keys() != state.arrays.keys():
        different = sorted(known.keys() ^ state.arrays.keys())
        raise RunError(
            f"checkpoint: expected the model's {len(known)} variables; {len(different)} differ, first {different[0]}."
        )
    for name, variable in known.items():
        _require_like(name, variable, state.arrays[name])
        variable.assign(state.arrays[name])
    for callback in callbacks:
        stored = state.callbacks.get(type(callback).__name__, {})
        if weights := stored.get("best_weights"):
            if len(weights) != len(objective.model.weights):
                raise RunError(
                    f"checkpoint: expected the {len(objective.model.weights)} weights of the model as the best ones; "
                    f"found {len(weights)}."
                )
            for variable, array in zip(objective.model.weights, weights, strict=True):
                _require_like(f"best_weights of {variable.path}", variable, array)
        for name in CALLBACK_STATE.get(type(callback).__name__, {}).keys() & stored.keys():
            setattr(callback, name, stored[name])


def _require_like(name: str, variable: keras.Variable, array: np.ndarray) -> None:
    """Check that a stored array has the shape and the type in which the value of a variable is stored.

    Raises:
        RunError: It has not.
    """
    dtype = _stored_dtype(keras.ops.convert_to_numpy(variable).dtype)
    if tuple(variable.shape) != array.shape or dtype != _stored_dtype(array.dtype):
        raise RunError(
            f"checkpoint: expected {name} of shape {tuple(variable.shape)} and type {dtype}; found {array.shape} and "
            f"{array.dtype}. The run started with other data."
        )


def write(folder: Path, state: State, keep: int) -> Path:
    """Write a checkpoint, then delete old ones.

    The newest `keep` checkpoints, including this one, and the best one are kept. Checkpoints of later steps are kept
    too: they are damaged, and the resumed run overwrites them.

    Args:
        folder: The folder of the checkpoints.
        state: The state to write.
        keep: The number of newest checkpoints to keep, at least 1.

    Returns:
        The path of the checkpoint.

    Raises:
        OSError: The checkpoint cannot be written. The other checkpoints are unchanged.
    """
    path = _path(folder, state.epoch, state.step)
    for abandoned in folder.glob(f".*{SUFFIX}.*.partial"):  # left by a process that was killed during a write
        abandoned.unlink()
    body = _encode(state)
    with atomic_write(path) as file:
        file.write(hashlib.sha256(body).hexdigest().encode() + b"\n")
        file.write(body)
    so_far = [other for other in sorted(folder.glob(f"*{SUFFIX}")) if other <= path]
    best = state.best and _path(folder, state.best[1], 0)
    for old in so_far[:-keep]:
        if old != best:
            old.unlink()
    return path


def newest(folder: Path, *, run: Mapping[str, str], may_differ: Collection[str] = ()) -> tuple[State, list[Path]]:
    """Read the newest undamaged checkpoint.

    Args:
        folder: The folder of the checkpoints.
        run: What binds a checkpoint to the run, from `runs.identity.binding`.
        may_differ: Keys of `run` that may have changed since.

    Returns:
        The state, which is that of a new run if there are no checkpoints, and the paths of the damaged checkpoints that
        were skipped.

    Raises:
        RunError: All checkpoints are damaged, or the newest undamaged one is that of another run or version, or holds
            what is no state of a training. None is deleted.
    """
    damaged: list[Path] = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        state = _read(path)
        if state is None:
            damaged.append(path)
            continue
        for key, value in run.items():
            if key not in may_differ and state.run.get(key) != value:
                raise RunError(
                    f"{path}: expected a checkpoint of this run, of {key} {value[:12]}; found one of {key} "
                    f"{state.run.get(key, 'unknown')[:12]}. Remove it, or start again under another run.name."
                )
        return replace(state, run=run), damaged
    if damaged:
        raise RunError(
            f"{folder}: expected an undamaged checkpoint; found {len(damaged)}, all damaged. Nothing was deleted. "
            "Start again under another run.name."
        )
    return State(run=run), damaged


def _path(folder: Path, epoch: int, step: int) -> Path:
    return folder / f"epoch-{epoch:05d}-step-{step:07d}{SUFFIX}"


def _encode(state: State) -> bytes:
    lists: dict[str, np.ndarray] = {}
    callbacks: dict[str, dict[str, Any]] = {}
    for owner, attributes in state.callbacks.items():
        for name, value in attributes.items():
            if isinstance(value, list) and value and isinstance(value[0], np.ndarray | np.generic):
                lists |= {f"{owner}/{name}/{index:04d}": array for index, array in enumerate(value)}
            else:
                callbacks.setdefault(owner, {})[name] = value
    arrays = {f"variable:{name}": array for name, array in state.arrays.items()}
    arrays |= {f"callback:{name}": array for name, array in lists.items()}
    arrays = {name: array.astype(_stored_dtype(array.dtype), copy=False) for name, array in arrays.items()}
    header = {
        **{"format": FORMAT, "run": dict(state.run)},
        **{"epoch": state.epoch, "step": state.step, "finished": state.finished},
        **{"best": state.best, "seconds": state.seconds},
        "callbacks": callbacks,
        "arrays": [(name, array.dtype.str, array.shape) for name, array in arrays.items()],
    }
    return b"".join([json.dumps(header).encode(), b"\n", *(array.tobytes() for array in arrays.values())])


def _stored_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which arrays of a dtype are stored, one that NumPy has a name for.

    bfloat16 becomes float32, which can represent all values of bfloat16.
    """
    return np.dtype(np.float32) if dtype.kind == "V" else dtype


def _read(path: Path) -> State | None:
    """Return the state in a file, or None if the file is damaged.

    Raises:
        RunError: The file is whole, but is not one that this version writes.
    """
    try:
        content = read_limited(path, machine_memory.total())
    except OSError as error:
        raise RunError(f"{path}: expected a checkpoint; {error}. Remove it.") from None
    digest, _, body = content.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    head, _, values = body.partition(b"\n")
    try:
        fields = parse(dict[str, Any], head)
        if fields.get("format") != FORMAT:
            raise ValueError("found one of another version. Finish the run with that version")
        state = _decode(convert(_Header, fields), values)
        if path.name != _path(path.parent, state.epoch, state.step).name:
            raise ValueError(f"found the state of epoch {state.epoch}, step {state.step}")
    except ValueError as error:
        raise RunError(
            f"{path}: expected a checkpoint of format {FORMAT}; {error}. Remove it, or start again under "
            "another run.name."
        ) from None
    return state


def _decode(header: _Header, values: bytes) -> State:
    """Return the state that a header and the bytes of its arrays hold: only what is declared in CALLBACK_STATE.

    Raises:
        ValueError: They hold something else.
    """
    arrays: dict[str, np.ndarray] = {}
    lists: dict[str, list[np.ndarray]] = {}
    offset = 0
    for name, dtype, shape in header.arrays:
        size = math.prod(shape)
        if not DTYPE.fullmatch(dtype) or any(length < 0 for length in shape):
            raise ValueError(f"arrays: expected numbers; found {name!r} of type {dtype!r} and shape {shape}")
        array = np.frombuffer(values, dtype, size, offset).reshape(shape).copy() if size else np.empty(shape, dtype)
        offset += array.nbytes
        kind, _, owner = name.partition(":")
        if kind == "variable" and owner not in arrays:
            arrays[owner] = array
        elif kind == "callback" and owner.rpartition("/")[0] in ARRAY_LISTS:
            lists.setdefault(owner.rpartition("/")[0], []).append(array)
        else:
            raise ValueError(f"arrays: expected a variable, once, or a declared state; found {name!r}")
    if offset != len(values) or min(header.epoch, header.step) < 0:
        raise ValueError(f"expected {offset:,} bytes of arrays; found {len(values):,}")
    for owner, attributes in header.callbacks.items():
        for name, value in attributes.items():
            if name not in CALLBACK_STATE.get(owner, {}):
                raise ValueError(f"callbacks.{owner}.{name}: expected a declared state; found another")
            attributes[name] = convert(CALLBACK_STATE[owner][name], value, f"callbacks.{owner}.{name}")
    for key, list_ in lists.items():
        owner, _, name = key.partition("/")
        header.callbacks.setdefault(owner, {})[name] = list_
    return State(
        header.epoch,
        header.step,
        header.finished,
        arrays,
        header.callbacks,
        header.best,
        header.seconds,
        header.run,
    )
