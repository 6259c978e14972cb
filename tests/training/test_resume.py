"""Going on: a training that was stopped and continued is, bit for bit, one that never was."""

import numpy as np
import pytest

from pipeline import config as c
from pipeline.errors import RunError, Stopped

PER_COLUMN = [{"class_name": "Normalization", "config": {"axis": -1}}]
VOWELS = {
    "data": c.JapaneseVowels(),
    "batch_size": 64,
    "model": c.Gru(units=[8], dropout=0.2, preprocessing=PER_COLUMN),
}
WATCHED = {
    "optimizer": c.Optimizer("SGD", {"learning_rate": 0.5, "momentum": 0.9}),
    "epochs": 30,
    "early_stopping": c.EarlyStopping(patience=3),
    "plateau": c.Plateau(patience=1, factor=0.5),
}
AVERAGED = c.Optimizer("Adam", {"learning_rate": 0.01, "use_ema": True, "gradient_accumulation_steps": 2})
CASES = {
    "inside an epoch": ({}, (2, 7)),
}
SLOW = {
    "while early stopping and a plateau wait": (WATCHED, (5, 4)),
    "at the first step": ({}, (1, 1)),
    "at the last step of an epoch": ({}, (2, 13)),
    "inside the last epoch": ({}, (3, 5)),
    "inside the epoch that early stopping ends": (WATCHED, "last"),
    "recurrent layers, inside an epoch": (VOWELS, (2, 3)),
    "averaged and accumulated gradients": ({"optimizer": AVERAGED}, (2, 6)),
    "averaged and accumulated gradients, inside the last epoch": ({"optimizer": AVERAGED}, (3, 6)),
    "mixed float16": ({"precision": "mixed_float16"}, (2, 6)),
    "several steps a call": ({"steps_per_execution": 5}, (2, 10)),
    "a cosine schedule": ({"optimizer": c.Optimizer("Adam", {"learning_rate": {
        "class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01}}})}, (2, 6)),
    "weights of 16 bits": ({"model": c.Layers(layers=["Flatten", {"class_name": "Dense", "config": {
        "units": 10, "activation": "softmax", "dtype": "bfloat16"}}])}, (2, 6)),
}  # fmt: skip
ENGINES = pytest.mark.parametrize("engine", [c.Fit, c.Tape])


def continued(train, configured, engine, case, stop_at):
    config = configured(engine, **case)
    whole = train(config)
    if stop_at == "last":
        stop_at = (len(whole.history), 4)
    again = train(config, stop_at)
    assert again.history == whole.history
    assert again.journal == whole.journal
    assert again.digest == whole.digest
    assert again.steps == whole.steps
    assert again.kept_epoch == whole.kept_epoch


@ENGINES
@pytest.mark.parametrize("case, stop_at", CASES.values(), ids=CASES)
def test_a_training_goes_on_as_if_never_stopped(train, configured, engine, case, stop_at):
    continued(train, configured, engine, case, stop_at)


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("case, stop_at", SLOW.values(), ids=SLOW)
def test_a_training_of_any_kind_goes_on_as_if_never_stopped(train, configured, engine, case, stop_at):
    continued(train, configured, engine, case, stop_at)


@pytest.mark.slow
def test_a_training_stopped_again_and_again_comes_to_the_same_end(training_run, train, configured, tmp_path):
    config = configured(c.Fit, epochs=4)
    for stop_at in ((1, 3), (1, 4), (2, 13), (4, 2)):
        with pytest.raises(Stopped):
            training_run(tmp_path / "often", config, stop_at)
    assert training_run(tmp_path / "often", config).digest == train(config).digest


@pytest.mark.slow
@ENGINES
def test_a_finished_training_is_not_trained_further(training_run, configured, tmp_path, engine):
    config = configured(engine, **WATCHED)
    first = training_run(tmp_path / "run", config)
    again = training_run(tmp_path / "run", config)
    assert again.digest == first.digest and again.history == first.history and again.steps == first.steps


@pytest.mark.slow
@ENGINES
def test_a_training_that_reached_its_last_epoch_goes_on_where_more_are_asked_for(
    training_run, configured, train, tmp_path, engine
):
    training_run(tmp_path / "run", configured(engine, epochs=2))
    more = configured(engine, epochs=3)
    assert training_run(tmp_path / "run", more).digest == train(more).digest


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(training_run, configured, train, tmp_path):
    config = configured(c.Tape)
    with pytest.raises(Stopped):
        training_run(tmp_path / "run", config, (3, 4))
    newest = max((tmp_path / "run").glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-7])
    assert training_run(tmp_path / "run", config).digest == train(config).digest


@pytest.mark.slow
def test_a_checkpoint_of_a_model_of_another_shape_is_refused(training_run, configured, tmp_path):
    with pytest.raises(Stopped):
        training_run(tmp_path / "run", configured(c.Tape), (1, 2))
    for other in (c.Mlp(hidden=[17], dropout=0.2), c.Mlp(hidden=[16, 16], dropout=0.2)):
        with pytest.raises(RunError, match="checkpoint: expected"):
            training_run(tmp_path / "run", configured(c.Tape, model=other))


def test_weights_that_are_not_numbers_any_more_are_not_kept(training_run, configured, tmp_path):
    diverging = configured(c.Fit, optimizer=c.Optimizer("SGD", {"learning_rate": 1e30}))
    with pytest.raises(Exception, match="loss became"):
        training_run(tmp_path / "run", diverging)
    assert not list((tmp_path / "run").glob("*.ckpt"))
    assert not np.isfinite(float((tmp_path / "run" / "metrics.jsonl").read_text().split('"loss": ')[1].split(",")[0]))
