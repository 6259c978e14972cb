"""Both engines: the same weights, the same history, no step too many, and every seed a seed."""

import math

import pytest

from pipeline.data.sources.csv import Csv
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.models.cnn import Cnn
from pipeline.models.gru import Gru
from pipeline.models.mlp import Mlp
from pipeline.models.residual_cnn import ResidualCnn
from pipeline.models.tabular import Tabular
from pipeline.models.transformer import Transformer
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer, Schedule
from pipeline.training.options import EarlyStopping, Plateau
from pipeline.training.tape import Tape

PER_COLUMN = [{"class_name": "Normalization", "config": {"axis": -1}}]
CNN = Cnn(filters=[4], normalize=True, dropout=0.3, preprocessing=PER_COLUMN)
GRU = Gru(units=[8], dropout=0.2, preprocessing=PER_COLUMN)
COSINE = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01}}
VOWELS = {"data": JapaneseVowels(), "batch_size": 64}


WARM_COSINE = Optimizer(
    "Adam", {"epsilon": 1e-7}, learning_rate=0.01, clip_norm=1.0, schedule=Schedule("cosine", warmup_steps=7)
)


def adam(**config):
    return Optimizer("Adam", {"learning_rate": 0.01, "epsilon": 1e-7, **config})


def sgd(**config):
    return Optimizer("SGD", {"learning_rate": 0.05, "momentum": 0.9, **config})


EARLY = {
    "optimizer": sgd(learning_rate=0.5),
    "epochs": 30,
    "early_stopping": EarlyStopping(patience=3),
    "plateau": Plateau(patience=1, factor=0.5),
}
SAME_BITS = {
    "dropout, a warm-up and a cosine schedule, several steps per call and a short last call": {
        "optimizer": WARM_COSINE, "steps_per_execution": 5,
    },
    "convolutions, batch normalisation and dropout": {"model": CNN, "epochs": 2},
    "recurrent layers with masks": {"model": GRU, "epochs": 2, **VOWELS},
    "mixed float16, its loss scaled": {"precision": "mixed_float16"},
}  # fmt: skip
SAME_BITS_SLOW = {
    "a cosine schedule as Keras serializes it": {"optimizer": adam(learning_rate=COSINE), "steps_per_execution": 5},
    "averaged, accumulated and clipped": {"optimizer": adam(use_ema=True, gradient_accumulation_steps=2, clipnorm=0.1)},
    "early stopping and a plateau": EARLY,
    "dense layers": {"model": Mlp(hidden=[16])},
    "mixed bfloat16": {"precision": "mixed_bfloat16"},
    "balanced classes": {"objective": SupervisedOptions(class_weight="balanced")},
    "an attention encoder": {"model": Transformer(depth=1, width=8, heads=2, preprocessing=PER_COLUMN), **VOWELS},
    "residual blocks": {"model": ResidualCnn(filters=[4, 8], preprocessing=PER_COLUMN)},
    "averaged weights": {"optimizer": adam(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7)},
    "accumulated gradients": {"optimizer": adam(gradient_accumulation_steps=4)},
    "clipped by the whole norm": {"optimizer": adam(global_clipnorm=0.05)},
    "more steps per call than an epoch has": {"steps_per_execution": 50},
    "decayed weights": {"optimizer": Optimizer("AdamW", {"learning_rate": 0.01, "weight_decay": 0.1})},
    "recurrent, mixed float16, several steps per call": {
        "model": GRU, "precision": "mixed_float16", "steps_per_execution": 3, "epochs": 4, **VOWELS,
    },
}  # fmt: skip


def both(train, configured, case):
    return [train(configured(engine, **case)) for engine in (Fit, Tape)]


def check_same_bits(train, configured, case):
    fit, tape = both(train, configured, case)
    assert fit.history == tape.history
    assert fit.metrics_file == tape.metrics_file
    assert fit.digest == tape.digest
    for result in (fit, tape):
        assert result.steps == len(result.history) * result.per_epoch  # no phantom step
        assert math.isfinite(result.history[-1]["loss"])


@pytest.mark.parametrize("case", SAME_BITS.values(), ids=SAME_BITS)
def test_both_engines_give_the_same_bits(train, configured, case):
    check_same_bits(train, configured, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", SAME_BITS_SLOW.values(), ids=SAME_BITS_SLOW)
def test_both_engines_give_the_same_bits_in_more_cases(train, configured, case):
    check_same_bits(train, configured, case)


@pytest.mark.slow
def test_both_engines_give_the_same_bits_with_several_labels(train, configured, tmp_path):
    lines = [f"{row % 7},{'ab'[row % 2]},{'xyz'[row % 3]},{'pq'[row % 7 > 3]}" for row in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(["size,town,kind,label", *lines]) + "\n")
    data = Csv(path=str(tmp_path / "t.csv"), numeric=["size"], categorical=["town"], labels=["kind", "label"])
    case = {"data": data, "model": Tabular(hidden=[6]), "objective": SupervisedOptions(class_weight="balanced")}
    fit, tape = both(train, configured, case)
    assert fit.digest == tape.digest and fit.history == tape.history
    assert {"loss", "kind_loss", "label_loss", "kind_accuracy", "label_accuracy"} < set(fit.history[-1])


@pytest.mark.slow
def test_odd_names_of_several_labels_are_logged_and_monitored_as_the_data_writes_them(train, configured, tmp_path):
    lines = [f"{row % 7},{'xyz'[row % 3]},{'pq'[row % 7 > 3]}" for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["Größe (cm),Loan Status,a/b", *lines]) + "\n", encoding="utf-8")
    data = Csv(path=str(tmp_path / "t.csv"), numeric=["*"], labels=["Loan Status", "a/b"])
    monitor = {"early_stopping": EarlyStopping(2, "val_Loan Status_loss", mode="min"), "epochs": 2}
    found = train(configured(Fit, data=data, model=Tabular(hidden=[6]), **monitor))
    assert {"loss", "Loan Status_loss", "a/b_accuracy", "val_Loan Status_loss"} < set(found.history[-1])


@pytest.mark.slow
@pytest.mark.parametrize("engine", [Fit, Tape])
def test_seed_repeats_a_training_and_zero_is_a_seed(train, configured, engine):
    zero, again, one = (train(configured(engine, seed=seed)).digest for seed in (0, 0, 1))
    assert zero == again != one


@pytest.mark.parametrize("engine", [Fit, pytest.param(Tape, marks=pytest.mark.slow)])
def test_early_stopping_restores_the_weights_of_the_best_epoch(train, configured, engine):
    stopped = train(configured(engine, **EARLY))
    losses = [row["val_loss"] for row in stopped.history]
    assert len(losses) < EARLY["epochs"]
    assert stopped.kept_epoch == losses.index(min(losses)) + 1 == len(losses) - EARLY["early_stopping"].patience
    best = train(configured(engine, **{**EARLY, "epochs": stopped.kept_epoch, "early_stopping": EarlyStopping()}))
    assert stopped.digest == best.digest


@pytest.mark.slow
def test_plateau_lowers_the_learning_rate_after_each_epoch_without_improvement(train, configured):
    history = train(configured(Tape, **EARLY)).history
    best, rate = math.inf, 0.5
    for row in history:
        assert row["learning_rate"] == rate
        rate = rate if row["val_loss"] < best else rate / 2
        best = min(best, row["val_loss"])
    assert rate < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("warmup", [{}, {"warmup_target": 0.05, "warmup_steps": 13}])
def test_schedule_without_decay_steps_ends_with_the_run(train, configured, warmup):
    rate = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01, "alpha": 0.0, **warmup}}
    rates = [row["learning_rate"] for row in train(configured(Tape, optimizer=adam(learning_rate=rate))).history]
    assert rates[-1] < 1e-8 < rates[-2]
