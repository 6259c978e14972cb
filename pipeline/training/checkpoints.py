"""Checkpoints: everything that advances during training, written whole or not at all, and read only if undamaged.

One file holds the variables (weights, seed generators, optimizer slots and step, metrics inside an epoch), the state
of the callbacks that have one, the history, the place in the data and the wall time. Its first line is the sha256 of
what follows: a line of JSON, and the bytes of the arrays that it lists.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from pipeline.errors import RunError
from pipeline.files import atomic_write

SUFFIX = ".ckpt"
# what Keras's own savers leave out of these callbacks, and a resumed run would miss
CALLBACK_STATE = {
    "EarlyStopping": ("wait", "best", "best_weights", "best_epoch", "stopped_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "Journal": ("history",),
}


@dataclass(frozen=True)
class State:
    """A moment of a run.

    epoch, step: the next to do, both counted from 0. finished: whether training has ended before its last epoch by
    itself. arrays: every variable by name. callbacks: class name -> attribute -> value. best: (score, epoch) of the
    best checkpoint so far, the smaller score the better, or None. seconds: of wall time that all processes of the run
    had spent by then.
    """

    epoch: int = 0
    step: int = 0
    finished: bool = False
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    callbacks: dict[str, dict] = field(default_factory=dict)
    best: tuple[float, int] | None = None
    seconds: float = 0.0


def capture(objective, callbacks, epoch, step, finished, best=None, metrics=None, seconds=0.0):
    """The State of an objective in training and of its callbacks.

    metrics: values of metrics to keep in place of those the model has now, as from `metrics_of`.
    """
    return State(
        epoch,
        step,
        finished,
        {name: keras.ops.convert_to_numpy(variable) for name, variable in objective.variables().items()}
        | (metrics or {}),
        {
            type(callback).__name__: {name: getattr(callback, name) for name in CALLBACK_STATE[type(callback).__name__]}
            for callback in callbacks
            if type(callback).__name__ in CALLBACK_STATE
        },
        best,
        seconds,
    )


def metrics_of(objective):
    """The metrics inside an epoch, by the names of `objective.variables`."""
    of_metrics = {id(variable) for variable in objective.model.metrics_variables}
    return {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in objective.variables().items()
        if id(variable) in of_metrics
    }


def restore(state, objective, callbacks):
    """Put an objective in training and its callbacks back to a State. Raises RunError where the shapes are others."""
    known = objective.variables()
    if known.keys() != state.arrays.keys():
        other = sorted(known.keys() ^ state.arrays.keys())
        raise RunError(
            f"checkpoint: expected the model's {len(known)} variables; {len(other)} differ, first {other[0]}."
        )
    for name, variable in known.items():
        if variable.shape != state.arrays[name].shape:
            raise RunError(
                f"checkpoint: expected {name} of shape {tuple(variable.shape)}; found {state.arrays[name].shape}. "
                "The data is not what the run began with."
            )
        variable.assign(state.arrays[name])
    for callback in callbacks:
        for name, value in state.callbacks.get(type(callback).__name__, {}).items():
            setattr(callback, name, value)


def write(folder, state, keep):
    """Write a checkpoint into a folder and remove older ones, but the newest `keep`, itself among them, and the best.

    What is newer is damaged and was passed over, and will be written again. Returns the checkpoint's path.
    Raises OSError where it cannot be written; the others then stay as they are.
    """
    path = _path(folder, state.epoch, state.step)
    for abandoned in folder.glob(f".*{SUFFIX}.*.partial"):  # by a process that was killed while it wrote
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


def newest(folder):
    """(State, damaged) of the newest whole checkpoint: State() where there was never one.

    damaged: paths passed over. Raises RunError where there are checkpoints and none is whole; nothing is deleted.
    """
    damaged = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        state = _read(path)
        if state is not None:
            return state, damaged
        damaged.append(path)
    if damaged:
        raise RunError(
            f"{folder}: expected a whole checkpoint; found {len(damaged)}, all damaged. Nothing was deleted. "
            "Start anew under another run.name."
        )
    return State(), damaged


def weights_digest(model):
    """sha256 over the names, shapes, dtypes and bytes of a model's weights, whatever file they are kept in."""
    digest = hashlib.sha256()
    for weight in model.weights:
        for piece in _as_bytes(weight):
            digest.update(piece)
    return digest.hexdigest()


def digest_of_each(model):
    """What weights_digest takes together, a weight each: [{"path", "sha256"}], in the model's order."""
    return [
        {"path": weight.path, "sha256": hashlib.sha256(b"".join(_as_bytes(weight))).hexdigest()}
        for weight in model.weights
    ]


def _as_bytes(weight):
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
    return json.dumps([weight.path, array.shape, str(array.dtype)]).encode(), array.tobytes()


def _path(folder, epoch, step):
    return folder / f"epoch-{epoch:05d}-step-{step:07d}{SUFFIX}"


def _encode(state):
    lists, callbacks = {}, {}
    for owner, attributes in state.callbacks.items():
        for name, value in attributes.items():
            if isinstance(value, list) and value and isinstance(value[0], np.ndarray | np.generic):
                lists |= {f"{owner}/{name}/{place:04d}": array for place, array in enumerate(value)}
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


def _as_stored(array):
    """The array in a dtype that NumPy has a name for: bfloat16 becomes float32, which has all of its values."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _read(path: Path):
    """The State in a file, or None where the file is not what was written."""
    content = path.read_bytes()
    digest, _, body = content.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    head, _, values = body.partition(b"\n")
    try:
        header = json.loads(head)
    except ValueError:  # whole, but of another form than this program writes
        return None
    arrays, callbacks, offset = {}, header["callbacks"], 0
    for name, dtype, shape in header["arrays"]:
        array = np.frombuffer(values, dtype, math.prod(shape), offset).reshape(shape).copy()
        offset += array.nbytes
        whose, _, name = name.partition(":")
        if whose == "variable":
            arrays[name] = array
        else:
            owner, attribute, _ = name.split("/")
            callbacks.setdefault(owner, {}).setdefault(attribute, []).append(array)
    best = header["best"] and tuple(header["best"])
    return State(
        header["epoch"], header["step"], header["finished"], arrays, callbacks, best, header.get("seconds", 0.0)
    )
