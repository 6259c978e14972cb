"""The example of docs/objectives/README.md, carried out on a copy of the project."""

import json
import re

import pytest
from worked_example import PROJECT, carry_out, clone, run


@pytest.fixture
def own_clone(tmp_path):
    clone(tmp_path)
    assert carry_out("docs/objectives/README.md", tmp_path) == ["custom/objectives/confidence_penalty.py"]
    return tmp_path


@pytest.mark.slow
def test_custom_objective_of_the_docs_is_one_file_and_trains(own_clone):
    options = ("objective=confidence_penalty", "training=tape", "training.epochs=6", "objective.strength=0.5")
    answer = run(own_clone, "train", *options)
    assert answer.returncode == 0, answer.stderr
    result = json.loads((own_clone / "runs/digits-mlp-1/result.json").read_text())
    assert result["metrics"]["digit"]["accuracy"]["value"] > 0.85
    config = (own_clone / "runs/digits-mlp-1/config.yaml").read_text()
    assert "objective: confidence_penalty" in config and "strength: 0.5" in config


@pytest.mark.slow
def test_custom_objective_is_refused_with_the_fit_engine(own_clone):
    answer = run(own_clone, "train", "objective=confidence_penalty", "training=fit")
    assert answer.returncode == 2
    assert "found objective=confidence_penalty. Set training=tape" in answer.stderr


def test_objective_pages_link_to_files_that_exist():
    for page in (PROJECT / "docs/objectives").glob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
