"""The scale of the columns that meet weights first, and of real labels; every fix is applied as it is printed."""

import re

import numpy as np
import pytest
from keras import layers

from pipeline.cli.compose import compose
from pipeline.data import splits
from pipeline.experiment import build
from pipeline.preflight.inspection import inspect
from pipeline.preflight.setup import Setup

ROWS = 300
SCALE_CODES = ("unscaled-inputs", "rescaled-twice", "unscaled-labels", "constant-feature")
RESCALING = "{class_name: Rescaling, config: {scale: 0.00392156862745098}}"
DENSE = "{class_name: Dense, config: {units: 2, activation: softmax}}"


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape)


def findings(path, *overrides):
    """Return code -> Finding of an npz file with a config."""
    config = compose(["data=npz", f"data.path={path}", f"run.root={path.parent}/runs", *overrides])
    data = splits.load(config.data)
    experiment = build(config, data)
    found = inspect(Setup(config, data, experiment.objective, experiment.feed))
    return {finding.code: finding for finding in found}


def pasted(fix):
    """Return the first argument that a fix names, as a shell would hand it over."""
    key, value = re.match(r"Set (\S+?)=('[^']*'|\S+)", fix).groups()
    return f"{key}={value.strip(chr(39)).rstrip(',')}"


def stored(tmp_path, x, y=None):
    """Return the path of an npz file; without labels of its own the first column decides, with noise."""
    path = tmp_path / "rows.npz"
    first = x.reshape(len(x), -1)[:, 0]
    noisy = (first - first.mean()) / first.std() + normal(len(x), seed=4)
    np.savez(path, x=x.astype(np.float32), y=noisy > 0 if y is None else y)
    return path


IMAGES = np.random.default_rng(0).uniform(size=(ROWS, 6, 6, 1))
SPREAD = normal(ROWS, 3) * [1, 1e4, 1e-3]
WRONG = {
    "one mean over columns of different scale": (
        "unscaled-inputs", SPREAD, "model.preprocessing=[{class_name: Normalization, config: {axis: null}}]",
    ),
    "large numbers that nothing scales": ("unscaled-inputs", normal(ROWS, 3) * 500, "model.preprocessing=[]"),
    "numbers far from 0": ("unscaled-inputs", normal(ROWS, 3) * 0.1 + 15, "model.preprocessing=[]"),
    "columns that preprocessing makes constant": (
        "unscaled-inputs", normal(ROWS, 3), "model.preprocessing=[{class_name: Rescaling, config: {scale: 0.0}}]",
    ),
    "numbers too small for Normalization": ("unscaled-inputs", normal(ROWS, 3) * 1e-10, "model=mlp"),
    "shares that are rescaled as pixels": ("rescaled-twice", IMAGES, f"model.preprocessing=[{RESCALING}]"),
    "pixels that are rescaled twice": (
        "rescaled-twice", IMAGES * 255, f"model.preprocessing=[{RESCALING},{RESCALING}]",
    ),
    "pixels that are normalized and rescaled": (
        "rescaled-twice", IMAGES * 255, f"model=layers 'model.layers=[{RESCALING},Flatten,{DENSE}]'",
    ),
}  # fmt: skip
QUICK = ("one mean over columns of different scale", "pixels that are rescaled twice")


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in WRONG]
)
def test_scale_that_is_wrong_is_found_and_its_fix_clears_it(tmp_path, case):
    code, x, given = WRONG[case]
    path = stored(tmp_path, x)
    overrides = re.split(r" (?='?model\.layers)", given)
    overrides = [override.strip("'") for override in overrides]
    found = findings(path, *overrides)
    assert code in found
    fix = pasted(found[code].fix)
    others = [override for override in overrides if not override.startswith(fix.partition("=")[0] + "=")]
    assert not set(SCALE_CODES) & set(findings(path, *others, fix))


@pytest.mark.parametrize("value", [5_000.0, pytest.param(1e-4, marks=pytest.mark.slow)])
def test_label_that_is_not_normalized_is_mentioned_and_its_fix_clears_it(tmp_path, value):
    x = normal(ROWS, 3)
    path = stored(tmp_path, x, (x.sum(axis=1) + 10) * value)
    found = findings(path, "data.label_kind=real", "data.normalize_labels=false")
    assert "unscaled-labels" in found
    assert findings(path, "data.label_kind=real", pasted(found["unscaled-labels"].fix)) == {}


@pytest.mark.parametrize(("values", "is_found"), [(normal(60) * 400 + 5_000, True), (normal(60) + 3, False)])
def test_label_of_a_model_without_heads_is_checked(found, values, is_found):
    findings = found([layers.Dense(1)], "real", 1, values=values.astype(np.float32))
    assert ("unscaled-labels" in findings) == is_found


def test_columns_of_rare_values_and_outliers_have_no_wrong_scale(found):
    x = normal(60, 4).astype(np.float32)
    x[:, 1] = np.arange(60) == 17  # a rare word
    x[:, 2] = np.where(np.arange(60) == 17, 0.004, 0)  # a faint pixel
    assert "unscaled-inputs" not in found([layers.Dense(3, "softmax")], x=x)


def test_pixels_at_the_border_are_no_constant_feature(found):
    x = np.abs(normal(60, 20)).astype(np.float32)
    x[::7] = x[:, :3] = 0
    head = [layers.Dense(3, "softmax")]
    assert "constant-feature" not in found(head, x=x, shape=(20,))
    x[:, 5] = 4
    assert "constant-feature" in found(head, x=x, shape=(20,))


TOY_SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes", "linnerud")


@pytest.mark.parametrize("name", TOY_SETS)
def test_toy_sets_of_scikit_learn_raise_no_false_alarm(tmp_path, name):
    datasets = pytest.importorskip("sklearn.datasets")
    loaded = getattr(datasets, f"load_{name}")()
    np.savez(tmp_path / "rows.npz", x=loaded.data, y=loaded.target)
    kind = "real" if loaded.target.dtype.kind == "f" else "class"
    found = findings(tmp_path / "rows.npz", f"data.label_kind={kind}", "training.batch_size=8")
    assert not set(SCALE_CODES) & set(found)
