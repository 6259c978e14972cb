"""Checkpoint files: damaged ones are skipped, and a good one is never deleted in favour of a damaged one."""

import hashlib
import json
import os

import keras
import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.training import checkpoints
from pipeline.training.checkpoints import State
from pipeline.training.weights_digest import weights_digest

RUN = {"config": "0" * 64, "data": "1" * 64, "lock": "2" * 64}


def state(epoch, step=0):
    return State(
        epoch,
        step,
        False,
        {"0000/kernel": np.arange(6, dtype=np.float32).reshape(2, 3) + epoch, "0001/seed": np.uint32([epoch, step])},
        {
            "EarlyStopping": {"wait": 1, "best": 0.25, "best_weights": [np.float32(1.5), np.ones((2, 2), np.float32)]},
            "ReduceLROnPlateau": {"best": None},
            "EpochHistory": {"rows": [{"epoch": 1, "loss": 0.5}]},
        },
        (0.25, epoch),
        12.5,
        RUN,
    )


def same(one, other):
    assert (one.epoch, one.step, one.finished) == (other.epoch, other.step, other.finished)
    assert (one.best, one.seconds, one.callbacks.keys()) == (other.best, other.seconds, other.callbacks.keys())
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        np.testing.assert_array_equal(array, other.arrays[name])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


DAMAGE = {
    "one flipped bit": lambda content: content[:300] + bytes([content[300] ^ 1]) + content[301:],
    "a flipped bit in the digest": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "cut short": lambda content: content[:-1],
    "cut to its digest": lambda content: content[:64],
    "empty": lambda content: b"",
    "zeros of its length": lambda content: bytes(len(content)),
}
DAMAGED = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


def test_state_is_read_back_as_it_was_written(tmp_path):
    checkpoints.write(tmp_path, state(3, 7), keep=2)
    found, damaged = checkpoints.newest(tmp_path, run=RUN)
    same(found, state(3, 7))
    assert damaged == []
    assert found.callbacks["EpochHistory"] == state(3).callbacks["EpochHistory"]
    early = found.callbacks["EarlyStopping"]
    assert (early["wait"], early["best"]) == (1, 0.25) and found.callbacks["ReduceLROnPlateau"] == {"best": None}
    for kept, array in zip(early["best_weights"], state(3).callbacks["EarlyStopping"]["best_weights"], strict=True):
        np.testing.assert_array_equal(kept, array)


def test_bfloat16_values_are_kept_exactly(tmp_path):
    values = keras.ops.convert_to_numpy(keras.ops.cast([0.1, -3e38, 1e-40], "bfloat16"))
    checkpoints.write(tmp_path, State(1, 0, False, {"x": values}, run=RUN), keep=1)
    np.testing.assert_array_equal(checkpoints.newest(tmp_path, run=RUN)[0].arrays["x"], values.astype(np.float32))


def test_folder_without_checkpoints_gives_the_state_of_a_new_run(tmp_path):
    found, damaged = checkpoints.newest(tmp_path, run=RUN)
    assert (found.epoch, found.step, found.arrays, damaged) == (0, 0, {}, [])


def test_newest_checkpoint_is_that_of_the_latest_step(tmp_path):
    for each in (state(2), state(10), state(9, 99), state(10, 3)):
        checkpoints.write(tmp_path, each, keep=9)
    found, _ = checkpoints.newest(tmp_path, run=RUN)
    assert (found.epoch, found.step) == (10, 3)


@DAMAGED
def test_damaged_checkpoint_is_skipped_for_the_one_before(tmp_path, damage):
    checkpoints.write(tmp_path, state(1), keep=2)
    path = checkpoints.write(tmp_path, state(2), keep=2)
    path.write_bytes(damage(path.read_bytes()))
    found, damaged = checkpoints.newest(tmp_path, run=RUN)
    same(found, state(1))
    assert damaged == [path]


@DAMAGED
def test_only_damaged_checkpoints_are_refused_and_none_is_deleted(tmp_path, damage):
    for epoch in (1, 2):
        path = checkpoints.write(tmp_path, state(epoch), keep=2)
        path.write_bytes(damage(path.read_bytes()))
    before = names(tmp_path)
    with pytest.raises(RunError, match="2, all damaged"):
        checkpoints.newest(tmp_path, run=RUN)
    assert names(tmp_path) == before and len(before) == 2


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for epoch in range(1, 6):
        checkpoints.write(tmp_path, state(epoch), keep=2)
    assert names(tmp_path) == ["epoch-00004-step-0000000.ckpt", "epoch-00005-step-0000000.ckpt"]


def test_checkpoint_is_never_deleted_for_a_later_damaged_one(tmp_path):
    for epoch in (1, 2):
        path = checkpoints.write(tmp_path, state(epoch), keep=1)
    path.write_bytes(b"")  # the next state is trained from epoch 1
    checkpoints.write(tmp_path, state(1, 5), keep=1)
    found, damaged = checkpoints.newest(tmp_path, run=RUN)
    same(found, state(1, 5))
    assert damaged == [path]


def test_partial_file_of_a_killed_process_is_ignored_and_removed(tmp_path):
    checkpoints.write(tmp_path, state(1), keep=2)
    partial = tmp_path / ".epoch-00002-step-0000000.ckpt.123.partial"
    partial.write_bytes(b"half")
    same(checkpoints.newest(tmp_path, run=RUN)[0], state(1))
    checkpoints.write(tmp_path, state(2), keep=2)
    assert not partial.exists()


def test_failed_write_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    checkpoints.write(tmp_path, state(1), keep=1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        checkpoints.write(tmp_path, state(2), keep=1)
    monkeypatch.undo()
    assert names(tmp_path) == ["epoch-00001-step-0000000.ckpt"]
    same(checkpoints.newest(tmp_path, run=RUN)[0], state(1))


def test_weights_digest_changes_with_any_bit_of_the_weights():
    def digest(value):
        keras.backend.clear_session(free_memory=False)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="zeros")])
        model.layers[0].bias.assign([0.0, value])
        return weights_digest(model)

    one = np.float32(1)
    assert digest(one) == digest(one)
    assert len({digest(one), digest(np.nextafter(one, np.float32(2))), digest(0.0), digest(-0.0)}) == 4


def rewritten(path, **changes):
    """Replace entries of the header of a checkpoint, with the right digest."""
    head, _, values = path.read_bytes().partition(b"\n")[2].partition(b"\n")
    body = json.dumps(json.loads(head) | changes).encode() + b"\n" + values
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"callbacks": {"EarlyStopping": {"model": 1}}}, "callbacks.EarlyStopping.model"),
        ({"callbacks": {"ReduceLROnPlateau": {"wait": "x"}}}, "callbacks.ReduceLROnPlateau.wait"),
        ({"callbacks": {"LambdaCallback": {"on_epoch_end": 1}}}, "callbacks.LambdaCallback"),
        ({"epoch": "2"}, "epoch: expected an integer"),
        ({"arrays": [["variable:x", "|O8", [1]]]}, "arrays: expected numbers"),
        ({"format": 1}, "another version"),
        ({"run": RUN | {"data": "3" * 64}}, "a checkpoint of this run, of data 1111"),
    ],
)
def test_state_that_is_not_declared_or_of_another_run_is_refused(tmp_path, changes, named):
    path = checkpoints.write(tmp_path, state(1), keep=1)
    rewritten(path, **changes)
    with pytest.raises(RunError, match=named) as caught:
        checkpoints.newest(tmp_path, run=RUN)
    assert str(path) in str(caught.value)
