"""Run the queries of docs/registry.md, as they are written there, on a registry with known results."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from written_runs import add_evaluation, write_run

from pipeline.registry import ingestion, journal, store
from pipeline.registry.journal import Event

PAGE = Path(__file__).parents[2] / "docs" / "registry.md"
QUERIES = re.findall(r"^\*\*(\d+)\. (.*?)\*\*\n\n```sql\n(.*?)```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
OLD, NEW = "1" * 64, "2" * 64


@pytest.fixture
def run_query(engine, tmp_path):
    """A function from the number of a query and its values to the rows, as tuples."""
    write_run(tmp_path, "first", accuracy=0.8, lock=OLD, git_commit="a")
    write_run(tmp_path, "second", accuracy=0.9, lock=OLD, git_commit="a", drifted=3)
    third = write_run(tmp_path, "third", accuracy=0.7, lock=NEW, git_commit="b", units=20)
    write_run(tmp_path, "other", accuracy=0.6, lock=NEW, git_commit="b", data="vowels")
    run_journal = journal.RunJournal(third)
    run_journal.add(Event.EPOCH, epoch=4, metrics={"loss": float("nan"), "accuracy": 0.1})
    add_evaluation(run_journal, 0.99, split="validation")
    run_journal.add(Event.ARTIFACT, files=[{"path": "model.keras", "sha256": "b" * 64, "bytes": 7}])
    result = {"effect": 0.5, "p_value": 0.001, "threshold": 0.1, "reference_rows": 100, "rows": 50, "detail": ""}
    result |= {"kind": "input", "method": "chi-square"}
    results = [result | {"subject": "x", "verdict": "drift"}, result | {"subject": "y", "verdict": "none"}]
    run_journal.add(Event.DRIFT, data="f", results=results)
    assert ingestion.ingest_all(engine, tmp_path)[1] == []
    queries = {int(number): sql for number, _, sql in QUERIES}

    def execute(number, **values):
        with store.connect_read_only(engine) as connection:
            return [tuple(row) for row in connection.execute(sa.text(queries[number]), values)]

    return execute


def test_page_has_ten_numbered_queries():
    assert [int(number) for number, _, _ in QUERIES] == list(range(1, 11))


def test_query_1_lists_the_runs_of_a_lock(run_query):
    assert [row[0] for row in run_query(1, lock=OLD)] == ["first", "second"]


def test_query_2_summarizes_accuracy_per_lock(run_query):
    (old, _, runs, mean, worst), new = run_query(2, data="digits")
    assert (old, runs, worst) == (OLD, 2, 0.8) and mean == pytest.approx(0.85)
    assert (new[0], new[2], new[4]) == (NEW, 1, 0.7)


def test_query_3_lists_the_architectures_of_two_commits(run_query):
    rows = run_query(3, before="a", after="b")
    assert sorted((commit, parameters, runs) for commit, _, parameters, runs in rows) == [
        *[("a", 650, 2), ("b", 650, 1), ("b", 1300, 1)]
    ]


def test_query_4_finds_the_best_run_per_data_set(run_query):
    assert run_query(4) == [("digits", "second", 0.9), ("vowels", "other", 0.6)]


def test_query_5_lists_the_runs_that_differed_from_their_lock(run_query):
    assert [(row[0], row[3]) for row in run_query(5)] == [("second", 3)]


def test_query_6_groups_runs_with_the_same_weights(run_query):
    assert run_query(6) == [("w" * 64, 4, "first", "third")]


def test_query_7_lists_a_metric_per_epoch(run_query):
    assert run_query(7, name="third") == [(1, 1.0, None), (2, 0.5, None), (3, 1 / 3, None), (4, None, "nan")]


def test_query_8_lists_the_runs_that_diverged(run_query):
    assert run_query(8) == [("third", 4)]


def test_query_9_finds_the_run_of_a_file(run_query):
    assert [(name, path) for name, _, _, path in run_query(9, sha256="b" * 64)] == [("third", "model.keras")]


def test_query_10_lists_drift_since_a_day(run_query):
    assert [(row[0], row[3]) for row in run_query(10, day="2000-01-01")] == [("third", "x")]
    assert run_query(10, day="2999-01-01") == []
