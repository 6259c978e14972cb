"""Resume: a training that is stopped and resumed gives the same bits as one that is never stopped."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.errors import Interrupted, RunError
from pipeline.models.gru import Gru
from pipeline.models.layers import Layers
from pipeline.models.mlp import Mlp
from pipeline.training import checkpoints
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import Checkpoints, EarlyStopping, Plateau
from pipeline.training.tape import Tape

PER_COLUMN = [{"class_name": "Normalization", "config": {"axis": -1}}]
VOWELS = {
    "data": JapaneseVowels(),
    "batch_size": 64,
    "model": Gru(units=[8], dropout=0.2, preprocessing=PER_COLUMN),
}
MONITORED = {
    "optimizer": Optimizer("SGD", {"learning_rate": 0.5, "momentum": 0.9}),
    "epochs": 30,
    "early_stopping": EarlyStopping(patience=3),
    "plateau": Plateau(patience=1, factor=0.5),
}
VOWELS_CUT = {**VOWELS, "batch_size": 16}
AVERAGED = Optimizer("Adam", {"learning_rate": 0.01, "use_ema": True, "gradient_accumulation_steps": 2})
CASES = {
    "inside an epoch": ({}, (2, 7)),
}
SLOW = {
    "while it validates": ({}, (2, "validation")),
    "while early stopping and a plateau wait": (MONITORED, (5, 4)),
    "while the last epoch validates": ({}, (3, "validation")),
    "while early stopping's last epoch validates": (MONITORED, "last validation"),
    "while it validates, recurrent layers": (VOWELS_CUT, (2, "validation")),
    "while it validates, averaged and accumulated gradients": ({"optimizer": AVERAGED}, (2, "validation")),
    "at the first step": ({}, (1, 1)),
    "at the last step of an epoch": ({}, (2, 13)),
    "inside the last epoch": ({}, (3, 5)),
    "inside the epoch that early stopping ends": (MONITORED, "last"),
    "recurrent layers, inside an epoch": (VOWELS, (2, 3)),
    "averaged and accumulated gradients": ({"optimizer": AVERAGED}, (2, 6)),
    "averaged and accumulated gradients, inside the last epoch": ({"optimizer": AVERAGED}, (3, 6)),
    "mixed float16": ({"precision": "mixed_float16"}, (2, 6)),
    "several steps a call": ({"steps_per_execution": 5}, (2, 10)),
    "a cosine schedule": ({"optimizer": Optimizer("Adam", {"learning_rate": {
        "class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01}}})}, (2, 6)),
    "weights of 16 bits": ({"model": Layers(layers=["Flatten", {"class_name": "Dense", "config": {
        "units": 10, "activation": "softmax", "dtype": "bfloat16"}}])}, (2, 6)),
}  # fmt: skip
ENGINES = pytest.mark.parametrize("engine", [Fit, Tape])


def check_resumed(train, configured, engine, case, stop_at):
    config = configured(engine, **case)
    whole = train(config)
    if stop_at in ("last", "last validation"):
        stop_at = (len(whole.history), 4 if stop_at == "last" else "validation")
    resumed = train(config, stop_at)
    assert resumed.history == whole.history
    assert resumed.metrics_file == whole.metrics_file
    assert resumed.digest == whole.digest
    assert resumed.steps == whole.steps
    assert resumed.kept_epoch == whole.kept_epoch


@ENGINES
@pytest.mark.parametrize("case, stop_at", CASES.values(), ids=CASES)
def test_resumed_training_has_the_bits_of_an_uninterrupted_one(train, configured, engine, case, stop_at):
    check_resumed(train, configured, engine, case, stop_at)


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("case, stop_at", SLOW.values(), ids=SLOW)
def test_resumed_training_has_the_bits_of_an_uninterrupted_one_in_more_cases(train, configured, engine, case, stop_at):
    check_resumed(train, configured, engine, case, stop_at)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [(2, 5), (2, "validation")], ids=str)
def test_resumed_training_with_xla_has_the_bits_of_an_uninterrupted_one(train, configured, stop_at):
    check_resumed(train, configured, Tape, {"jit": "always", "steps_per_execution": 5}, stop_at)


@pytest.mark.slow
def test_training_stopped_several_times_ends_with_the_same_bits(training_run, train, configured, tmp_path):
    config = configured(Fit, epochs=4)
    for stop_at in ((1, 3), (1, 4), (2, 13), (4, 2)):
        with pytest.raises(Interrupted):
            training_run(tmp_path / "often", config, stop_at)
    assert training_run(tmp_path / "often", config).digest == train(config).digest


@pytest.mark.slow
@ENGINES
def test_finished_training_is_not_trained_further(training_run, configured, tmp_path, engine):
    config = configured(engine, **MONITORED)
    first = training_run(tmp_path / "run", config)
    again = training_run(tmp_path / "run", config)
    assert again.digest == first.digest and again.history == first.history and again.steps == first.steps


@pytest.mark.slow
@ENGINES
def test_training_continues_after_its_last_epoch_if_more_epochs_are_set(
    training_run, configured, train, tmp_path, engine
):
    training_run(tmp_path / "run", configured(engine, epochs=2))
    more = configured(engine, epochs=3)
    assert training_run(tmp_path / "run", more).digest == train(more).digest


@pytest.mark.slow
def test_training_with_a_damaged_checkpoint_ends_with_the_same_bits(training_run, configured, train, tmp_path):
    config = configured(Tape)
    with pytest.raises(Interrupted):
        training_run(tmp_path / "run", config, (3, 4))
    newest = max((tmp_path / "run").glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-7])
    assert training_run(tmp_path / "run", config).digest == train(config).digest


@pytest.mark.slow
def test_checkpoint_of_a_model_of_another_shape_is_refused(training_run, configured, tmp_path):
    with pytest.raises(Interrupted):
        training_run(tmp_path / "run", configured(Tape), (1, 2))
    for other in (Mlp(hidden=[17], dropout=0.2), Mlp(hidden=[16, 16], dropout=0.2)):
        with pytest.raises(RunError, match="checkpoint: expected"):
            training_run(tmp_path / "run", configured(Tape, model=other))


def test_diverged_weights_are_not_saved(training_run, configured, tmp_path):
    diverging = configured(Fit, optimizer=Optimizer("SGD", {"learning_rate": 1e30}))
    with pytest.raises(Exception, match="loss became"):
        training_run(tmp_path / "run", diverging)
    assert not list((tmp_path / "run").glob("*.ckpt"))
    assert not np.isfinite(float((tmp_path / "run" / "metrics.jsonl").read_text().split('"loss": ')[1].split(",")[0]))


def test_wall_time_of_earlier_processes_is_counted(training_run, configured, tmp_path):
    training_run(tmp_path / "run", configured(Tape, epochs=1))
    state, _ = checkpoints.newest(tmp_path / "run", run={})
    assert 0 < state.seconds < 1000
    checkpoints.write(tmp_path / "run", replace(state, seconds=1000.0), keep=1)
    training_run(tmp_path / "run", configured(Tape, epochs=2))
    assert checkpoints.newest(tmp_path / "run", run={})[0].seconds > 1000


# ---- when checkpoints are written ------------------------------------------------------------------------------------


class Count(keras.callbacks.Callback):
    """Counts the steps."""

    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


def written(folder):
    """Return (epoch, step) of the checkpoints in a folder."""
    names = (path.stem.split("-") for path in sorted(folder.glob("*.ckpt")))
    return [(int(epoch), int(step)) for _, epoch, _, step in names]


@ENGINES
@pytest.mark.parametrize("stop_at", [(2, 7), pytest.param((2, "validation"), marks=pytest.mark.slow)], ids=str)
def test_resumed_training_repeats_no_step(training_run, configured, tmp_path, engine, stop_at):
    config, count = configured(engine, checkpoints=Checkpoints(steps=4)), Count()
    with pytest.raises(Interrupted):
        training_run(tmp_path / "run", config, stop_at, [count])
    assert training_run(tmp_path / "run", config, more_callbacks=[count]).steps == count.steps


@ENGINES
def test_steps_between_checkpoints_are_counted_over_the_whole_run(training_run, configured, tmp_path, engine):
    options = Checkpoints(epochs=None, steps=5, keep=99)
    result = training_run(tmp_path / "run", configured(engine, epochs=2, checkpoints=options))
    steps = range(5, 2 * result.per_epoch, 5)
    assert written(tmp_path / "run") == [*(divmod(step, result.per_epoch) for step in steps), (2, 0)]


def test_training_resumes_from_the_newest_checkpoint_between_epochs(training_run, train, configured, tmp_path):
    config = configured(Tape, epochs=2, checkpoints=Checkpoints(epochs=None, steps=5, keep=99))
    training_run(tmp_path / "run", config)
    while written(tmp_path / "run")[-1] > (1, 2):
        max((tmp_path / "run").glob("*.ckpt")).unlink()  # as if the process was killed before the write
    assert written(tmp_path / "run")[-1] == (1, 2)
    assert training_run(tmp_path / "run", config).digest == train(config).digest


def test_checkpoints_every_second_epoch_and_at_the_end(training_run, configured, tmp_path):
    options = Checkpoints(epochs=2, keep=99)
    training_run(tmp_path / "run", configured(Tape, epochs=5, checkpoints=options))
    assert written(tmp_path / "run") == [(2, 0), (4, 0), (5, 0)]


def test_checkpoints_by_minutes_come_at_the_next_step(training_run, configured, tmp_path):
    always = Checkpoints(epochs=None, minutes=0.0, keep=99)
    result = training_run(tmp_path / "run", configured(Tape, epochs=1, checkpoints=always))
    assert written(tmp_path / "run") == [*((0, step) for step in range(1, result.per_epoch)), (1, 0)]


@ENGINES
def test_checkpoint_of_the_best_epoch_is_kept(training_run, configured, tmp_path, engine):
    case = {**MONITORED, "early_stopping": EarlyStopping(patience=4, monitor="val_accuracy")}
    result = training_run(tmp_path / "run", configured(engine, **case, checkpoints=Checkpoints(keep=2)))
    last = len(result.history)
    assert result.kept_epoch < last - 1
    assert written(tmp_path / "run") == [(result.kept_epoch, 0), (last - 1, 0), (last, 0)]


def test_best_epoch_is_still_known_after_a_stop(training_run, configured, tmp_path):
    config = configured(Tape, **MONITORED)
    whole = training_run(tmp_path / "whole", config)
    with pytest.raises(Interrupted):
        training_run(tmp_path / "run", config, (whole.kept_epoch + 1, 3))
    training_run(tmp_path / "run", config)
    assert written(tmp_path / "run") == written(tmp_path / "whole")
