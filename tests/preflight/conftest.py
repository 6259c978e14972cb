"""Fixtures that build a compiled Keras model for a few generated rows, and inspect it with preflight."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.config import Config
from pipeline.data.containers import Sequences, Table
from pipeline.data.input_pipeline import TrainingFeed
from pipeline.data.sources.digits import Digits
from pipeline.data.splits import SplitDataset
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.preflight.inspection import inspect
from pipeline.preflight.options import Preflight
from pipeline.preflight.setup import Setup
from pipeline.runs.options import Run
from pipeline.spec import CLASS, DataSpec, Feature, class_label, real_label, row_label
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer

ROWS, WIDTH = 60, 4
QUICK = 8  # every eighth case of a long table is quick; the others run in CI
LONG = 8


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    tables = {}
    for item in items:
        if item.path.parent == Path(__file__).parent and hasattr(item, "callspec"):
            tables.setdefault((item.path, item.originalname), []).append(item)
    for cases in tables.values():
        for index, item in enumerate(cases):
            if len(cases) > LONG and index % QUICK:
                item.add_marker(pytest.mark.slow)


SGD = {"learning_rate": 0.01}


def labels_of(kind, width, rows):
    """Return (Label, values) of generated labels. Every class has rows; several labels of a row can be true."""
    numbers = np.random.default_rng(1)
    if kind == CLASS:
        return class_label(range(width)), np.arange(rows) % width
    if kind == "real":
        shape = rows if width == 1 else (rows, width)
        return real_label(width), numbers.normal(size=shape).astype(np.float32)
    label = row_label(kind, range(width))
    if kind == "one_hot":
        return label, np.eye(width, dtype=np.float32)[np.arange(rows) % width]
    return label, (np.arange(rows)[:, None] // 2 ** np.arange(width) % 2).astype(np.float32)


def features_of(shape, rows, lengths):
    numbers = np.random.default_rng(0)
    if not lengths:
        return numbers.normal(size=(rows, *shape)).astype(np.float32)
    steps = numbers.integers(lengths[0], lengths[1] + 1, rows)
    offsets = np.concatenate([[0], np.cumsum(steps)])
    return Sequences(numbers.normal(size=(offsets[-1], *shape[1:])).astype(np.float32), offsets)


def digest_of(spec, splits):
    digest = hashlib.sha256(str(spec).encode())
    for rows in splits:
        for column in [*rows.features.values(), *rows.labels.values()]:
            values = column.values if isinstance(column, Sequences) else column
            digest.update(str((values.dtype, values.shape)).encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def prepared(root):
    """Return a function that creates a Setup. Its arguments:

    model: a list of layers after an Input of `shape`, or a function from the Input to the outputs or to a Model.
    kind, width: the kind and width of the label "y".
    labels: name -> (Label, values), instead of the label "y".
    values, x: arrays to use instead of generated ones.
    built_for: name -> (shape, dtype) of inputs that differ from the data.
    change: a function that is called with the compiled model.
    engine: Fit or Tape. All other arguments are fields of the training config.
    """

    def prepare(
        model, kind=CLASS, width=3, loss=None, metrics=(), shape=(WIDTH,), lengths=None, labels=None, values=None,
        x=None, rows=ROWS, features=None, optimizer=("SGD", SGD), class_weight=None, objective=None, change=None,
        built_for=None, ignore=(), determinism="strict", device="auto", parts=None, validation=True,
        precision="float32", engine=Fit, quantiles=(), **training,
    ):  # fmt: skip
        keras.config.set_dtype_policy(precision)
        if labels is None:
            label, made = labels_of(kind, width, rows)
            labels = {"y": (label, made if values is None else values)}
        if features is None:
            x = features_of(shape, rows, lengths) if x is None else x
            dtype = str((x.values if isinstance(x, Sequences) else x).dtype)
            features = {"x": (Feature(shape, dtype), x)}
        specs = {name: feature for name, (feature, _) in features.items()}
        spec = DataSpec(specs, {name: label for name, (label, _) in labels.items()}, lengths)
        whole = Table(
            {name: column for name, (_, column) in features.items()},
            {name: column for name, (_, column) in labels.items()},
            lambda row: f"row {row}",
        )
        third = len(whole) // 6
        split = {"test": whole.select(np.arange(third)), "train": whole.select(np.arange(third, len(whole)))}
        split |= parts(whole) if parts else {}
        keras.utils.set_random_seed(0)
        input_specs = built_for or {name: (item.shape, item.dtype) for name, item in specs.items()}
        inputs = {name: keras.Input(size, dtype=dtype, name=name) for name, (size, dtype) in input_specs.items()}
        first = next(iter(inputs.values()))
        if isinstance(model, list):
            model = keras.Sequential([first, *model])
        else:
            model = model(first if len(inputs) == 1 else inputs)
        if not isinstance(model, keras.Model):
            model = keras.Model(first if len(inputs) == 1 else inputs, model)
        config = Config(
            data=Digits(),
            model=Mlp(),
            optimizer=optimizer if isinstance(optimizer, Optimizer) else Optimizer(optimizer[0], dict(optimizer[1])),
            objective=SupervisedOptions(loss, None if metrics is None else list(metrics), class_weight, [*quantiles]),
            training=engine(**{"epochs": 5, "batch_size": 16, "tensorboard": False, **training}),
            run=Run(root=str(root)),
            preflight=Preflight(list(ignore)),
            determinism=determinism,
            device=device,
        )
        held_out = split.get("validation", split["test"]) if validation else None
        data = SplitDataset(
            spec=spec,
            train=split["train"],
            validation=held_out,
            test=split["test"],
            fingerprint=digest_of(spec, split.values()),
        )
        built = (objective or Supervised)(config.objective, spec, model)
        weights = config.objective.class_weights(spec, data.train.labels)
        feed = TrainingFeed(
            split=data.train,
            spec=spec,
            source=config.data,
            batch_size=config.training.batch_size,
            seed=0,
            weights=weights,
        )
        built.compile(config.optimizer.build(config.training.total_steps(feed.steps)), config.training)
        if change:
            change(model)
        return Setup(config, data, built, feed)

    yield prepare
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def found(prepared):
    """Return a function that takes the arguments of `prepared` and returns the findings: code -> Finding."""

    def find(*arguments, **options):
        return {finding.code: finding for finding in inspect(prepared(*arguments, **options))}

    return find
