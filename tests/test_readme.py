"""The example of the README, carried out literally in a clone, and the links and targets that the README names."""

import json
import re

import numpy as np
import pytest
from worked_example import PROJECT, carry_out, clone, commit, git, run

OWN = ("data=sensors", "data.path=readings.jsonl", "model=wide_and_deep", "training.epochs=30", "registry.url=none")


@pytest.fixture(scope="module")
def own_clone(tmp_path_factory):
    """A clone with the files of the README, committed, and readings to train on."""
    folder = tmp_path_factory.mktemp("clone")
    clone(folder)
    written = carry_out("README.md", folder)
    assert written == [
        "custom/data/sensors.py",
        "custom/models/wide_and_deep.py",
        "custom/losses.py",
        "custom/metrics.py",
    ]
    random = np.random.default_rng(0)
    with (folder / "readings.jsonl").open("w") as file:
        for _ in range(300):
            values = random.normal(size=12)
            state = "ok" if values[:6].sum() > values[6:].sum() else "worn"
            file.write(json.dumps({"values": values.tolist(), "state": state}) + "\n")
    commit(folder, "Our own code")
    return folder


def metrics_of(folder, name):
    return json.loads((folder / "runs" / name / "result.json").read_text())["metrics"]


@pytest.mark.slow
def test_own_data_model_and_metric_train_under_both_engines_and_are_evaluated(own_clone):
    for engine in ("fit", "tape"):
        arguments = ("objective.metrics=[accuracy,confidence]", f"training={engine}", f"run.name={engine}")
        trained = run(own_clone, "train", *OWN, *arguments)
        assert trained.returncode == 0, trained.stderr
        assert metrics_of(own_clone, engine)["state"]["accuracy"]["value"] > 0.85
        epochs = [json.loads(line) for line in (own_clone / "runs" / engine / "metrics.jsonl").read_text().splitlines()]
        assert 0.5 < epochs[0]["confidence"] < epochs[-1]["confidence"] < 1
        assert 0.5 < epochs[-1]["val_confidence"] < 1
    evaluated = run(own_clone, "evaluate", "run.name=tape", "data.path=readings.jsonl")
    assert evaluated.returncode == 0, evaluated.stderr


@pytest.mark.slow
def test_own_loss_trains_a_regression(own_clone):
    arguments = ("data.labels=[ink]", "objective.loss=squared_log_error", "training.epochs=3", "run.name=ink")
    trained = run(own_clone, "train", *arguments, "registry.url=none")
    assert trained.returncode == 0, trained.stderr
    losses = [json.loads(line)["loss"] for line in (own_clone / "runs/ink/metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_later_template_merges_without_conflict_and_still_trains(own_clone):
    git(own_clone, "checkout", "--quiet", "-b", "template", "HEAD~1")
    for name in ("pipeline/models/mlp.py", "pipeline/keras_objects.py", "docs/config.md"):
        path = own_clone / name
        path.write_text(path.read_text() + "\n# a later version\n")
    (own_clone / "configs" / "experiment" / "later.yaml").write_text("# @package _global_\n# A new preset.\nseed: 3\n")
    commit(own_clone, "A later version of the template")
    git(own_clone, "checkout", "--quiet", "main")
    git(own_clone, "merge", "--quiet", "--message", "Update the template", "template")
    assert "a later version" in (own_clone / "pipeline/models/mlp.py").read_text()
    trained = run(own_clone, "train", *OWN, "run.name=merged", "experiment=later", "training.epochs=2")
    assert trained.returncode == 0, trained.stderr


@pytest.mark.slow
def test_broken_file_of_the_user_is_named_with_its_line(own_clone):
    broken = own_clone / "custom" / "data" / "broken.py"
    broken.write_text("import json\n\nvalue = undefined_name\n")
    try:
        answered = run(own_clone, "train", "--help")
        assert answered.returncode == 2
        assert "custom/data/broken.py, line 3" in answered.stderr and "NameError" in answered.stderr
        assert "Traceback" not in answered.stderr
    finally:
        broken.unlink()


def test_readme_names_only_files_and_targets_that_exist():
    text = (PROJECT / "README.md").read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (PROJECT / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"`[^`]+`|^(?:RUNTIME\S+ )?make .*$", text, re.MULTILINE)
    used = set(re.findall(r"\bmake ([a-z-]+)\b(?! it| them)", " ".join(commands)))
    assert used <= targets, used - targets
