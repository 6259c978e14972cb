"""Every preset under configs/, built as `train` builds it, is let through without an error."""

import gzip

import keras
import numpy as np
import pytest

from pipeline.cli import compose as composition
from pipeline.data import splits
from pipeline.data.shards import write_shards
from pipeline.experiment import build
from pipeline.preflight import inspection, names
from pipeline.preflight.setup import Setup

SMALL = ("training.epochs=4", "training.batch_size=16", "evaluation.resamples=100")
SHAPES = "data=synthetic data.rows=200"
VOWELS = "data=japanese_vowels"
PRESETS = {
    "data/digits": "data=digits",
    "data/japanese_vowels": f"{VOWELS} model=gru",
    "data/synthetic": "data=synthetic data.rows=200 data.shape=[6]",
    "data/npz": "data=npz data.path={root}/rows.npz",
    "data/csv": "data=csv data.path={root}/people.csv data.numeric=[age,height] data.categorical=[city] model=tabular",
    "data/idx": "data=idx data.path={root}/idx model=cnn",
    "data/image_folder": "data=image_folder data.path={root}/photos model=residual_cnn model.filters=[4]",
    "data/tfrecord": "data=tfrecord data.path={root}/shards",
    "model/mlp": "model=mlp",
    "model/cnn": f"model=cnn {SHAPES} data.shape=[12,12,1] model.filters=[4,4]",
    "model/residual_cnn": f"model=residual_cnn {SHAPES} data.shape=[12,12,1] model.filters=[4,4]",
    "model/layers": "model=layers",
    "model/tabular": f"model=tabular {SHAPES} data.shape=[6]",
    "model/gru": f"model=gru {VOWELS}",
    "model/transformer": f"model=transformer {VOWELS} model.depth=1 model.width=8 model.heads=2",
    "optimizer/adam": "optimizer=adam",
    "optimizer/adamw": "optimizer=adamw",
    "optimizer/rmsprop": "optimizer=rmsprop",
    "optimizer/sgd": "optimizer=sgd",
    "optimizer/adam_cosine": "optimizer=adam_cosine",
    "objective/supervised": "objective=supervised objective.class_weight=balanced",
    "training/fit": "training=fit training.precision=mixed_float16",
    "training/tape": "training=tape",
    "experiment/japanese_vowels_gru": "experiment=japanese_vowels_gru",
    "experiment/golden_mlp": "experiment=golden_mlp",
    "experiment/golden_mlp_tape": "experiment=golden_mlp_tape",
    "experiment/golden_cnn": "experiment=golden_cnn",
    "experiment/golden_gru": "experiment=golden_gru",
    "experiment/golden_defaults": "experiment=golden_defaults",
    "model/gan": "experiment=digits_gan objective.loss=wgan_gp",
    "objective/adversarial": "experiment=digits_gan objective.critic_steps=2",
    "objective/multi_task": "experiment=digits_multi_task objective.weighting=fixed",
    "data/sinusoids": "experiment=sinusoids_maml data.tasks=500 objective.first_order=true",
    "data/digit_tasks": "experiment=digits_few_shot data.tasks=500 data.ways=2 data.move=false",
    "experiment/digits_few_shot": "experiment=digits_few_shot data.tasks=500",
    "objective/maml": "experiment=sinusoids_maml data.tasks=500 objective.inner_steps=1",
    "experiment/sinusoids_maml": "experiment=sinusoids_maml data.tasks=500",
    "experiment/digits_gan": "experiment=digits_gan",
    "experiment/digits_multi_task": "experiment=digits_multi_task",
    "experiment/mnist_convnet": "experiment=mnist_convnet data.path={root}/idx",
}
# their data must be downloaded, or a package installed
LEFT_OUT = {"data/keras", "data/parquet"}
UNUSUAL = {
    "regression": f"{SHAPES} data.shape=[6] data.classes=0",
    "batch normalisation": f"model=cnn {SHAPES} data.shape=[12,12,1] model.filters=[4] model.normalize=true",
    "early stopping on accuracy": "training.early_stopping.patience=2 training.early_stopping.monitor=val_accuracy",
    "plateau": "training.plateau.patience=2",
    "bfloat16": "training.precision=mixed_bfloat16",
    "tokens": "data=npz data.path={root}/words.npz data.lengths=lengths model=gru model.vocabulary=40",
    "no hidden layer but one": "model.hidden=[3] model.dropout=0.2",
    "averaged weights": "optimizer=sgd +optimizer.config.use_ema=true",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory, digits):
    """A folder with a small data set in every form that presets read."""
    root = tmp_path_factory.mktemp("data")
    numbers = np.random.default_rng(0)
    np.savez(root / "rows.npz", x=numbers.normal(size=(120, 5)).astype(np.float32), y=np.arange(120) % 3)
    lines = [f"{20 + row % 37},{150 + 0.3 * row},{['oslo', 'rome'][row % 2]},{'abc'[row % 3]}" for row in range(90)]
    (root / "people.csv").write_text("\n".join(["age,height,city,label", *lines]) + "\n")
    lengths = numbers.integers(3, 9, 120)
    np.savez(root / "words.npz", x=numbers.integers(1, 40, lengths.sum()).astype(np.int32), y=np.arange(120) % 2,
             lengths=lengths)  # fmt: skip
    (root / "idx").mkdir()
    for split, count in (("train", 120), ("t10k", 40)):
        write_idx(root / "idx" / f"{split}-images-idx3-ubyte.gz", numbers.integers(0, 256, (count, 28, 28)))
        write_idx(root / "idx" / f"{split}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    for index in range(60):
        folder = root / "photos" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"{index}.png", numbers.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    write_shards(digits.spec, digits.splits, str(root / "shards"), rows_per_shard=500, progress=lambda *_: None)
    return root


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 1))


def found(overrides, root):
    return inspected(composition.compose([*SMALL, f"run.root={root}/runs", *overrides.format(root=root).split()]))


def inspected(config):
    names.check(config)
    data = splits.load(config.data)
    experiment = build(config, data)
    return inspection.inspect(Setup(config, data, experiment.objective, experiment.feed))


@pytest.mark.parametrize("overrides", [*PRESETS.values(), *UNUSUAL.values()], ids=[*PRESETS, *UNUSUAL])
def test_a_preset_is_not_refused(root, overrides):
    assert [str(finding) for finding in found(overrides, root) if finding.is_error] == []


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["data/digits", "model/gru", "model/transformer", "experiment/japanese_vowels_gru"])
def test_presets_of_the_data_that_is_shipped_are_passed_without_a_word_on_model_or_loss(root, preset):
    told = {finding.code for finding in found(PRESETS[preset], root)}
    assert told <= {"last-batch-of-one"}


@pytest.mark.slow
def test_each_of_several_tasks_is_held_against_its_own_label(root):
    told = found("experiment=digits_multi_task data.labels=[digit,ink] model.filters=[4] objective.loss=mse", root)
    assert [(finding.code, finding.place) for finding in told if finding.is_error] == [("integer-labels", "digit")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "last, code",
    [("{units: 3}", "logits-as-probabilities"), ("{units: 3, activation: sigmoid}", "sigmoid-with-categorical"),
     ("{units: 4, activation: softmax}", "output-width"), ("{units: 3, activation: softmax}", None)],
)  # fmt: skip
def test_the_points_of_tasks_are_held_against_the_loss_of_their_label(root, last, code):
    layers = f"model.layers=[Flatten,{{class_name: Dense, config: {last}}}]"
    tasks = ("data=digit_tasks", "data.tasks=100", "objective=maml", "objective.support=3", "training=tape")
    config = composition.compose([*SMALL, *tasks, "model=layers", layers])
    errors = {finding.code for finding in inspected(config) if finding.is_error}
    assert errors == ({code} if code else set())


def test_every_preset_is_looked_at():
    groups = [group for group in (*composition.PRESET_GROUPS, "experiment") if group != "registry"]
    about_a_model = {f"{group}/{name}" for group in groups for name in composition.choices(group)}
    assert about_a_model == PRESETS.keys() | LEFT_OUT
