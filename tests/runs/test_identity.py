"""The identity of a run: which options may change when it is resumed, and which may not."""

import pytest

from pipeline.config import Config
from pipeline.data.options import SplitOptions
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.digits import Digits
from pipeline.data.table_source import TableSource
from pipeline.evaluation.options import Evaluation
from pipeline.members import members
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.options import walk
from pipeline.runs.identity import differences, identity
from pipeline.runs.options import Run
from pipeline.runtime.options import Environment, Hardware
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import Checkpoints, EarlyStopping

ADAM = Optimizer("Adam", {"learning_rate": 0.01})
COSINE = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01}}


def configured(**sections):
    chosen = {"data": Digits(), "model": Mlp(), "objective": SupervisedOptions(), "training": Fit(), "optimizer": ADAM}
    return Config(**chosen | sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"training": Fit(epochs=99)},
        {"training": Fit(tensorboard=False, resume="auto", checkpoints=Checkpoints(keep=7))},
        {"evaluation": Evaluation(bins=7)},
        {"device": "cpu"},
        {"hardware": Hardware(memory_growth=False)},
        {"environment": Environment(allow_drift=True)},
        {"run": Run("moved", "elsewhere")},
    ],
)
def test_options_that_do_not_decide_the_weights_may_change(sections):
    assert identity(configured(**sections)) == identity(configured())


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 1},
        {"determinism": "relaxed"},
        {"hardware": Hardware(threads=3)},
        {"hardware": Hardware(tf32=True)},
        {"data": Digits(split=SplitOptions(seed=1))},
        {"training": Fit(early_stopping=EarlyStopping(patience=2))},
        {"objective": SupervisedOptions(class_weight="balanced")},
        {"optimizer": Optimizer("Adam", {"learning_rate": 0.02})},
    ],
)
def test_options_that_decide_the_weights_may_not_change(sections):
    assert differences(identity(configured())["config"], identity(configured(**sections))["config"])


@pytest.mark.parametrize("name", ["path", "validation_path", "test_path"])
def test_each_file_of_the_data_may_be_moved(name):
    files = {"path": "a.csv", "validation_path": "b.csv", "test_path": "c.csv"}
    before, moved = (
        configured(data=Csv(**paths, numeric=["x"], labels=["y"])) for paths in (files, files | {name: "elsewhere.csv"})
    )
    assert identity(before) == identity(moved)


@pytest.mark.parametrize("source", members("data").values(), ids=members("data"))
def test_no_path_of_a_data_source_is_part_of_the_identity(source):
    paths = [f"data.{item.name}" for item in source.__dataclass_fields__.values() if item.metadata.get("path")]
    needed = {"numeric": ["x"]} if issubclass(source, TableSource) else {}
    recorded = identity(configured(data=source(**{key.removeprefix("data."): "file" for key in paths}, **needed)))
    assert not set(paths) & set(recorded["config"])


def test_no_path_outside_the_data_is_part_of_the_identity():
    config = configured()
    paths = {key for key, _, item in walk(config) if item.metadata["path"]}
    assert paths and not paths & set(identity(config)["config"])


def test_number_of_epochs_may_not_change_if_a_schedule_follows_it():
    optimizer = Optimizer("Adam", {"learning_rate": COSINE})
    five, six = (identity(configured(optimizer=optimizer, training=Fit(epochs=epochs))) for epochs in (5, 6))
    assert differences(five["config"], six["config"]) == ["training.epochs: 5 then, 6 now"]
