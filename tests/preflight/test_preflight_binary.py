"""Two classes in each usual form of output and loss, with every metric for them, in every kind of data: no error."""

import keras
import numpy as np
import pytest

from pipeline.cli import compose as composition
from pipeline.data import splits
from pipeline.experiment import build
from pipeline.preflight import inspection, names
from pipeline.preflight.setup import Setup

BINARY_LOGIT = "{class_name: BinaryCrossentropy, config: {from_logits: true}}"
FORMS = {
    "one sigmoid": (1, "sigmoid", "binary_crossentropy"),
    "one logit": (1, "linear", BINARY_LOGIT),
    "hinge": (1, "linear", "hinge"),
    "two softmax": (2, "softmax", "sparse_categorical_crossentropy"),
}
METRICS = "[accuracy,AUC,{class_name: AUC, config: {curve: PR, name: pr}},Precision,Recall,F1Score,BinaryAccuracy]"
BODIES = {
    "csv": "{class_name: Dense, config: {units: 4, activation: relu}}",
    "npz": "{class_name: Dense, config: {units: 4, activation: relu}}",
    "images": "{class_name: Conv2D, config: {filters: 4, kernel_size: 3, activation: relu}},GlobalAveragePooling2D",
    "sequences": "{class_name: GRU, config: {units: 4}}",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Kind -> (the arguments of its source, the data that they read)."""
    folder = tmp_path_factory.mktemp("binary")
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 2)).astype(np.float32)
    y = (x.sum(axis=1) + 0.7 * random.normal(size=120) > 0).astype(int)
    np.savez(folder / "rows.npz", x=x, y=y)
    lines = [f"{a:.4f},{b:.4f},{'yes' if true else 'no'}" for (a, b), true in zip(x, y, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,label", *lines]))
    lengths = random.integers(3, 9, 120)
    steps = random.normal(size=(lengths.sum(), 3)).astype(np.float32)
    np.savez(folder / "steps.npz", x=steps, y=y, lengths=lengths)
    for index in range(60):
        (folder / f"images/{'ab'[index % 2]}").mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 200 + 50 * (index % 2), (8, 8, 3)).astype(np.uint8)
        keras.utils.save_img(folder / f"images/{'ab'[index % 2]}/{index}.png", pixels, scale=False)
    sources = {
        "csv": ["data=csv", f"data.path={folder}/rows.csv", "data.numeric=[a,b]"],
        "npz": ["data=npz", f"data.path={folder}/rows.npz"],
        "images": ["data=image_folder", f"data.path={folder}/images"],
        "sequences": ["data=npz", f"data.path={folder}/steps.npz", "data.lengths=lengths"],
    }
    return {kind: (source, splits.load(composition.compose(source).data)) for kind, source in sources.items()}


def findings(data, kind, form):
    units, activation, loss = FORMS[form]
    source, dataset = data[kind]
    output = f"{{class_name: Dense, config: {{units: {units}, activation: {activation}}}}}"
    config = composition.compose([
        *source, "model=layers", f"model.layers=[{BODIES[kind]},{output}]", f"objective.loss={loss}",
        f"objective.metrics={METRICS}", "training.epochs=20", "training.batch_size=16",
    ])  # fmt: skip
    names.check(config)
    experiment = build(config, dataset)
    return inspection.inspect(Setup(config, dataset, experiment.objective, experiment.feed))


# the other pairs differ in nothing that a check reads
PAIRS = [*(("npz", form) for form in FORMS), ("csv", "two softmax"), ("images", "one sigmoid"), ("sequences", "hinge")]


@pytest.mark.parametrize(("kind", "form"), PAIRS)
def test_two_classes_in_a_usual_form_with_all_metrics_give_no_error(data, kind, form):
    assert [finding for finding in findings(data, kind, form) if finding.is_error] == []


def test_the_advice_for_scores_of_one_unit_is_no_softmax(data):
    (advice,) = [finding for finding in findings(data, "npz", "hinge") if finding.code == "scores-not-probabilities"]
    assert "activation: sigmoid" in advice.fix
