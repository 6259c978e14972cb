"""The README's worked example, done as it says, on a copy of the project."""

import json
import re

import numpy as np
import pytest
from worked_example import PROJECT, carry_out, train


@pytest.fixture(scope="module")
def changed_copy(tmp_path_factory):
    copy = tmp_path_factory.mktemp("clone")
    assert carry_out("README.md", copy) == 11
    rows = np.random.default_rng(0)
    with (copy / "readings.jsonl").open("w") as file:
        for _ in range(300):
            values = rows.normal(size=12)
            state = "ok" if values[:6].sum() > values[6:].sum() else "worn"
            file.write(json.dumps({"values": values.tolist(), "state": state}) + "\n")
    return copy


@pytest.mark.slow
def test_the_worked_example_trains_its_own_data_on_its_own_model(changed_copy):
    words = ("data=sensors", "data.path=readings.jsonl", "model=wide_and_deep", "training.epochs=30")
    answer = train(changed_copy, *words)
    assert answer.returncode == 0, answer.stderr
    result = json.loads((changed_copy / "runs/sensors-wide_and_deep-1/result.json").read_text())
    assert result["metrics"]["state"]["accuracy"]["value"] > 0.85


def test_the_readme_names_only_files_and_targets_that_exist():
    text = (PROJECT / "README.md").read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (PROJECT / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"`[^`]+`|^(?:RUNTIME\S+ )?make .*$", text, re.MULTILINE)
    used = set(re.findall(r"\bmake ([a-z-]+)\b(?! it| them)", " ".join(commands)))
    assert used <= targets, used - targets
