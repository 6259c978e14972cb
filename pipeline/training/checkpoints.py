"""Checkpoints: the whole state of a training, written atomically and checked by digest when it is read.

One file holds the variables (weights, seed generators, optimizer slots and step, metrics inside an epoch), the state of
the callbacks, the logs of the epochs, the position in the data and the wall time. The first line of the file is the
sha256 of the rest. The rest is a line of JSON and the bytes of the arrays that this line lists.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.errors import RunError
from pipeline.files import atomic_write
from pipeline.training.objective import Objective

SUFFIX = ".ckpt"
# callback -> attributes that a resumed run needs; Keras's own savers leave them out
CALLBACK_STATE = {
    "EarlyStopping": ("wait", "best", "best_weights", "best_epoch", "stopped_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "EpochHistory": ("rows",),
}


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
    """

    epoch: int = 0
    step: int = 0
    finished: bool = False
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: tuple[float, int] | None = None
    seconds: float = 0.0


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
        RunError: The state has other variables, or variables of other shapes.
    """
    known = objective.variables()
    if known.keys() != state.arrays.keys():
        different = sorted(known.keys() ^ state.arrays.keys())
        raise RunError(
            f"checkpoint: expected the model's {len(known)} variables; {len(different)} differ, first {different[0]}."
        )
    for name, variable in known.items():
        if variable.shape != state.arrays[name].shape:
            raise RunError(
                f"checkpoint: expected {name} of shape {tuple(variable.shape)}; found {state.arrays[name].shape}. "
                "The run started with other data."
            )
        variable.assign(state.arrays[name])
    for callback in callbacks:
        for name, value in state.callbacks.get(type(callback).__name__, {}).items():
            setattr(callback, name, value)


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


def newest(folder: Path) -> tuple[State, list[Path]]:
    """Read the newest undamaged checkpoint.

    Returns:
        The state, which is that of a new run if there are no checkpoints, and the paths of the damaged checkpoints that
        were skipped.

    Raises:
        RunError: All checkpoints are damaged. None is deleted.
    """
    damaged: list[Path] = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        state = _read(path)
        if state is not None:
            return state, damaged
        damaged.append(path)
    if damaged:
        raise RunError(
            f"{folder}: expected an undamaged checkpoint; found {len(damaged)}, all damaged. Nothing was deleted. "
            "Start again under another run.name."
        )
    return State(), damaged


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
    arrays = {name: _as_stored(array) for name, array in arrays.items()}
    header = {
        **{"epoch": state.epoch, "step": state.step, "finished": state.finished},
        **{"best": state.best, "seconds": state.seconds},
        "callbacks": callbacks,
        "arrays": [(name, array.dtype.str, array.shape) for name, array in arrays.items()],
    }
    return b"".join([json.dumps(header).encode(), b"\n", *(array.tobytes() for array in arrays.values())])


def _as_stored(array: np.ndarray) -> np.ndarray:
    """Return the array in a dtype that NumPy has a name for.

    bfloat16 becomes float32, which can represent all values of bfloat16.
    """
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _read(path: Path) -> State | None:
    """Return the state in a file, or None if the file is damaged."""
    content = path.read_bytes()
    digest, _, body = content.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    head, _, values = body.partition(b"\n")
    try:
        header = json.loads(head)
    except ValueError:  # undamaged, but not written by this program
        return None
    arrays, callbacks, offset = {}, header["callbacks"], 0
    for name, dtype, shape in header["arrays"]:
        array = np.frombuffer(values, dtype, math.prod(shape), offset).reshape(shape).copy()
        offset += array.nbytes
        kind, _, name = name.partition(":")
        if kind == "variable":
            arrays[name] = array
        else:
            owner, attribute, _ = name.split("/")
            callbacks.setdefault(owner, {}).setdefault(attribute, []).append(array)
    best = header["best"] and tuple(header["best"])
    return State(
        header["epoch"], header["step"], header["finished"], arrays, callbacks, best, header.get("seconds", 0.0)
    )
