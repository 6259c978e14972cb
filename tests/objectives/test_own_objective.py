"""The objective that docs/objectives/README.md writes, done as it says, on a copy of the project."""

import json
import re

import pytest
from worked_example import PROJECT, carry_out, train


@pytest.mark.slow
def test_the_objective_of_the_docs_is_trained_from_the_command_line(tmp_path):
    assert carry_out("docs/objectives/README.md", tmp_path) == 6
    words = ("objective=confidence_penalty", "training=tape", "training.epochs=6", "objective.strength=0.5")
    answer = train(tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    result = json.loads((tmp_path / "runs/digits-mlp-1/result.json").read_text())
    assert result["metrics"]["digit"]["accuracy"]["value"] > 0.85


def test_the_docs_of_objectives_name_only_files_that_exist():
    for page in (PROJECT / "docs/objectives").glob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
