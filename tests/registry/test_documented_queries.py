"""The questions of docs/registry.md, asked as they stand there of a registry whose answers are known."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from written_runs import judge, write_run

from pipeline.registry import ingestion, journal, store
from pipeline.registry.journal import Event

PAGE = Path(__file__).parents[2] / "docs" / "registry.md"
QUESTIONS = re.findall(r"^\*\*(\d+)\. (.*?)\*\*\n\n```sql\n(.*?)```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
OLD, NEW = "1" * 64, "2" * 64


@pytest.fixture
def answer(engine, tmp_path):
    """A function of a question's number and its values: the rows, as tuples."""
    write_run(tmp_path, "first", accuracy=0.8, lock=OLD, git_commit="a")
    write_run(tmp_path, "second", accuracy=0.9, lock=OLD, git_commit="a", drifted=3)
    third = write_run(tmp_path, "third", accuracy=0.7, lock=NEW, git_commit="b", units=20)
    write_run(tmp_path, "other", accuracy=0.6, lock=NEW, git_commit="b", data="vowels")
    kept = journal.RunJournal(third)
    kept.add(Event.EPOCH, epoch=4, metrics={"loss": float("nan"), "accuracy": 0.1})
    judge(kept, 0.99, split="validation")
    kept.add(Event.ARTIFACT, files=[{"path": "model.keras", "sha256": "b" * 64, "bytes": 7}])
    found = {"effect": 0.5, "p_value": 0.001, "threshold": 0.1, "reference_rows": 100, "rows": 50, "detail": ""}
    found |= {"kind": "input", "method": "chi-square"}
    results = [found | {"subject": "x", "verdict": "drift"}, found | {"subject": "y", "verdict": "none"}]
    kept.add(Event.DRIFT, data="f", results=results)
    assert ingestion.ingest_all(engine, tmp_path)[1] == []
    texts = {int(number): text for number, _, text in QUESTIONS}

    def ask(number, **values):
        with store.connect_read_only(engine) as connection:
            return [tuple(row) for row in connection.execute(sa.text(texts[number]), values)]

    return ask


def test_the_page_asks_ten_questions():
    assert [int(number) for number, _, _ in QUESTIONS] == list(range(1, 11))


def test_which_runs_trained_under_a_lock(answer):
    assert [row[0] for row in answer(1, lock=OLD)] == ["first", "second"]


def test_accuracy_lock_by_lock(answer):
    (old, _, runs, mean, worst), new = answer(2, data="digits")
    assert (old, runs, worst) == (OLD, 2, 0.8) and mean == pytest.approx(0.85)
    assert (new[0], new[2], new[4]) == (NEW, 1, 0.7)


def test_the_architectures_of_two_releases(answer):
    found = answer(3, before="a", after="b")
    assert sorted((commit, parameters, runs) for commit, _, parameters, runs in found) == [
        *[("a", 650, 2), ("b", 650, 1), ("b", 1300, 1)]
    ]


def test_the_best_run_of_each_data_set(answer):
    assert answer(4) == [("digits", "second", 0.9), ("vowels", "other", 0.6)]


def test_the_runs_whose_environment_differed_from_its_lock(answer):
    assert [(row[0], row[3]) for row in answer(5)] == [("second", 3)]


def test_the_runs_with_the_same_weights(answer):
    assert answer(6) == [("w" * 64, 4, "first", "third")]


def test_a_metric_through_a_run(answer):
    assert answer(7, name="third") == [(1, 1.0, None), (2, 0.5, None), (3, 1 / 3, None), (4, None, "nan")]


def test_the_runs_that_diverged(answer):
    assert answer(8) == [("third", 4)]


def test_the_run_that_a_file_is_from(answer):
    assert [(name, path) for name, _, _, path in answer(9, sha256="b" * 64)] == [("third", "model.keras")]


def test_where_drift_was_found(answer):
    assert [(row[0], row[3]) for row in answer(10, day="2000-01-01")] == [("third", "x")]
    assert answer(10, day="2999-01-01") == []
