"""Each line of a journal is ingested exactly once, into SQLite and PostgreSQL."""

import math
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from written_runs import FINGERPRINT, add_evaluation, begin_content, environment, score, write_run

from pipeline.errors import ConfigError, RegistryError
from pipeline.registry import ingestion, journal, store, tables, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry

HERE = Path(__file__).parent


def read_rows(engine, table, *columns):
    selected = [table.c[name] for name in columns] or [table]
    with store.connect_read_only(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(*selected).order_by(*table.primary_key.columns))]


def count_rows(engine, table):
    return len(read_rows(engine, table))


# ---- lines to rows --------------------------------------------------------------------------------------------------


def test_journal_gives_the_rows_of_a_run(engine, tmp_path):
    ingestion.ingest_journal(engine, write_run(tmp_path, "a", epochs=2, accuracy=0.75))
    assert read_rows(engine, tables.run, "name", "status", "model", "epochs", "git_dirty") == [
        ("a", "finished", "mlp", 2, 0)
    ]
    assert read_rows(engine, tables.epoch_metric, "epoch", "metric", "value") == [
        *[(1, "accuracy", 0.0), (1, "loss", 1.0)],
        *[(2, "accuracy", 0.5), (2, "loss", 0.5)],
    ]
    columns = ("fingerprint", "split", "label", "metric", "value", "rows")
    assert read_rows(engine, tables.evaluation, *columns) == [(FINGERPRINT, "test", "digit", "accuracy", 0.75, 20)]
    assert read_rows(engine, tables.artifact, "path", "bytes") == [("model.keras", 7)]
    assert read_rows(engine, tables.event, "kind", "message") == [
        *[("begin", None), ("evaluation", None), ("artifact", None), ("end", "finished")]
    ]


def test_second_ingestion_changes_nothing(engine, tmp_path):
    path = write_run(tmp_path, "a")
    assert ingestion.ingest_journal(engine, path) == 7
    with store.connect_read_only(engine) as connection:
        before = verification.read_run(connection, journal.read_run_id(path))
    assert ingestion.ingest_journal(engine, path) == 0
    with store.connect_read_only(engine) as connection:
        assert verification.read_run(connection, journal.read_run_id(path)) == before


def test_other_run_with_a_journal_of_the_same_path_and_size_is_ingested(engine, tmp_path):
    path = write_run(tmp_path, "a")
    ingestion.ingest_all(engine, tmp_path)
    path.write_bytes(path.read_bytes().replace(journal.read_run_id(path).encode(), b"0" * 32))
    assert ingestion.ingest_all(engine, tmp_path) == (7, [])
    assert read_rows(engine, tables.run, "name") == [("a",), ("a",)]


def test_only_new_lines_are_ingested(engine, tmp_path):
    path = write_run(tmp_path, "a", epochs=2)
    ingestion.ingest_journal(engine, path)
    add_evaluation(journal.RunJournal(path), 0.5, split="validation")
    assert ingestion.ingest_journal(engine, path) == 1
    assert count_rows(engine, tables.evaluation) == 2


def test_epoch_that_was_trained_again_replaces_the_first(engine, tmp_path):
    path = write_run(tmp_path, "a", epochs=1)
    ingestion.ingest_journal(engine, path)
    journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics={"loss": 0.125, "accuracy": 1.0})
    ingestion.ingest_journal(engine, path)
    assert read_rows(engine, tables.epoch_metric, "value") == [(1.0,), (0.125,)]


def test_shared_architecture_environment_and_dataset_are_stored_once(engine, tmp_path):
    for number in range(3):
        ingestion.ingest_journal(engine, write_run(tmp_path, f"run-{number}", units=20 if number == 2 else 10))
    assert (count_rows(engine, tables.run), count_rows(engine, tables.architecture)) == (3, 2)
    assert (count_rows(engine, tables.environment), count_rows(engine, tables.dataset)) == (1, 1)


def test_resumed_run_keeps_its_start_and_has_its_newest_environment(engine, tmp_path):
    path = write_run(tmp_path, "a", lock="1" * 64, status="interrupted")
    ingestion.ingest_journal(engine, path)
    (started,) = read_rows(engine, tables.run, "started")
    journal.RunJournal(path).add(Event.BEGIN, **begin_content(path.parent, lock="2" * 64))
    ingestion.ingest_journal(engine, path)
    assert read_rows(engine, tables.run, "started", "status", "ended") == [(*started, "running", None)]
    query = sa.select(tables.environment.c.lock_digest).join(tables.run)
    with store.connect_read_only(engine) as connection:
        assert connection.scalars(query).all() == ["2" * 64]


HOSTILE = [
    "'; DROP TABLE run; --",
    '"); DELETE FROM epoch_metric; --',
    "%s %(name)s :name ? $1 {}",
    "日本語 ß 🚀 \u202e",
    "new\nline\ttab\\",
    "NULL",
    "",
]


def test_error_for_an_invalid_url_does_not_contain_it(tmp_path):
    with pytest.raises(ConfigError, match="port that cannot be read") as raised:
        store.create_engine(Registry(url="postgresql://trainer:sec/ret"), tmp_path)
    assert "sec" not in str(raised.value)


def test_sql_and_unicode_in_names_are_stored_as_text(engine, tmp_path):
    metrics = {text: float(index) for index, text in enumerate(HOSTILE)}
    for index, text in enumerate(HOSTILE):
        path = tmp_path / str(index) / journal.FILE_NAME
        path.parent.mkdir()
        journal.RunJournal(path).add(Event.BEGIN, **begin_content(path.parent, name=text, command=text))
        journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics=metrics)
        add_evaluation(journal.RunJournal(path), 0, metrics={text: {text: score(1.0)}})
        ingestion.ingest_journal(engine, path)
    assert sorted(read_rows(engine, tables.run, "name", "command")) == sorted((text, text) for text in HOSTILE)
    assert sorted(read_rows(engine, tables.evaluation, "label", "metric")) == sorted((text, text) for text in HOSTILE)
    assert set(read_rows(engine, tables.epoch_metric, "metric", "value")) == set(metrics.items())
    assert verification.verify_journals(engine, tmp_path) == (len(HOSTILE), [])


def test_characters_that_a_database_cannot_store_are_escaped(engine, tmp_path):
    path = tmp_path / "a" / journal.FILE_NAME
    path.parent.mkdir()
    journal.RunJournal(path).add(Event.BEGIN, **begin_content(path.parent, command="a\0b\udcff"))
    ingestion.ingest_journal(engine, path)
    assert read_rows(engine, tables.run, "command") == [("a\\x00b\\udcff",)]
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_nonfinite_numbers_are_stored_separately_and_do_not_affect_averages(engine, tmp_path):
    path = write_run(tmp_path, "a", epochs=0)
    metrics = {"nan": math.nan, "up": math.inf, "down": -math.inf, "one": 1.0}
    journal.RunJournal(path).add(Event.EPOCH, epoch=1, metrics=metrics)
    add_evaluation(journal.RunJournal(path), 0, metrics={"digit": {"r2": score(-math.inf, math.nan, math.inf)}})
    ingestion.ingest_journal(engine, path)
    assert read_rows(engine, tables.epoch_metric, "metric", "value", "not_finite") == [
        *[("down", None, "-inf"), ("nan", None, "nan"), ("one", 1.0, None), ("up", None, "inf")]
    ]
    with store.connect_read_only(engine) as connection:
        assert connection.scalar(sa.select(sa.func.avg(tables.epoch_metric.c.value))) == 1.0
    assert ("r2", None, "-inf", None) in read_rows(engine, tables.evaluation, "metric", "value", "not_finite", "low")
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_doubles_are_read_back_exactly(engine, tmp_path):
    generator = random.Random(0)
    values = [5e-324, 1.7976931348623157e308, 0.1 + 0.2, *(generator.gauss(0, 1e6) for _ in range(200))]
    path = write_run(tmp_path, "a", epochs=0)
    journal.RunJournal(path).add(
        Event.EPOCH, epoch=1, metrics={f"{index:04d}": value for index, value in enumerate(values)}
    )
    ingestion.ingest_journal(engine, path)
    assert [value for (value,) in read_rows(engine, tables.epoch_metric, "value")] == values


# ---- changed and damaged journals -----------------------------------------------------------------------------------


def test_copied_run_that_was_resumed_elsewhere_is_refused(engine, tmp_path):
    path = write_run(tmp_path, "a")
    shutil.copytree(path.parent, tmp_path / "copy")
    for folder, accuracy in (("a", 0.1), ("copy", 0.2)):
        add_evaluation(journal.RunJournal(tmp_path / folder / journal.FILE_NAME), accuracy, split="validation")
    ingestion.ingest_journal(engine, path)
    with pytest.raises(RegistryError, match="copy of a run"):
        ingestion.ingest_journal(engine, tmp_path / "copy" / journal.FILE_NAME)
    assert read_rows(engine, tables.evaluation, "split", "value") == [("test", 0.9), ("validation", 0.1)]


def test_changed_journal_is_refused(engine, tmp_path):
    path = write_run(tmp_path, "a")
    ingestion.ingest_journal(engine, path)
    path.write_bytes(path.read_bytes().replace(b'"loss": 0.5', b'"loss": 0.4'))
    with pytest.raises(RegistryError, match="It was changed"):
        ingestion.ingest_journal(engine, path)
    assert verification.verify_journals(engine, tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (Event.EPOCH, {"epoch": "one", "metrics": {"loss": 1.0}}),
        (Event.EPOCH, {"epoch": 1, "metrics": {"loss": "abc"}}),
        (Event.EPOCH, {"epoch": 2**40, "metrics": {"loss": 1.0}}),
        (Event.EPOCH, {"epoch": 1, "metrics": {"loss": {"deep": 1}}}),
        (Event.EPOCH, {"epoch": 1, "metrics": [1.0]}),
        (Event.END, {"status": 7, "seconds": 1.5}),
        (Event.END, {"status": "finished", "seconds": "long"}),
        (Event.END, {"status": "finished", "epochs": True}),
        (Event.ARTIFACT, {"files": [{"path": ["a"], "sha256": "a", "bytes": 7}]}),
        (Event.DRIFT, {"data": "d", "results": {"kind": 1}}),
    ],
    ids=repr,
)
def test_value_of_another_type_is_refused_by_name_and_does_not_block_others(tmp_path, event, content):
    odd = write_run(tmp_path, "a")
    write_run(tmp_path, "b")
    journal.RunJournal(odd).add(event, **content)
    with store.open_registry(Registry(), tmp_path) as database:
        lines, problems = ingestion.ingest_all(database, tmp_path)
        assert lines == 7 and len(problems) == 1 and str(odd) in problems[0]
        assert read_rows(database, tables.run, "name") == [("b",)]


def test_damaged_journal_does_not_block_others(engine, tmp_path):
    damaged, intact = write_run(tmp_path, "a"), write_run(tmp_path, "b")
    damaged.write_bytes(damaged.read_bytes()[:-10] + b"}}}}}}}}}\n")
    lines, problems = ingestion.ingest_all(engine, tmp_path)
    assert lines == 7 and len(problems) == 1 and str(damaged) in problems[0]
    assert read_rows(engine, tables.run, "name") == [("b",)]
    assert intact.exists()


def test_empty_journal_of_a_starting_process_is_skipped(engine, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / journal.FILE_NAME).touch()
    assert ingestion.ingest_all(engine, tmp_path) == (0, [])
    assert verification.verify_journals(engine, tmp_path) == (0, [])
    assert count_rows(engine, tables.run) == 0


def test_verify_reports_a_row_that_was_changed_manually(engine, tmp_path):
    ingestion.ingest_journal(engine, write_run(tmp_path, "a"))
    ingestion.ingest_journal(engine, write_run(tmp_path, "b"))
    with engine.begin() as connection:
        connection.execute(sa.update(tables.evaluation).where(tables.evaluation.c.run_id == 1).values(value=0.99))
    agreeing, (difference,) = verification.verify_journals(engine, tmp_path)
    assert agreeing == 1
    assert "evaluation" in difference and str(tmp_path / "a") in difference


def test_verify_reports_a_run_that_was_not_ingested(engine, tmp_path):
    write_run(tmp_path, "a")
    agreeing, (difference,) = verification.verify_journals(engine, tmp_path)
    assert agreeing == 0 and "not been ingested" in difference


# ---- parallel and killed processes ----------------------------------------------------------------------------------


def run_writers(options, root, writers, epochs):
    """Write and ingest runs in parallel processes, and check that each process succeeds without a warning."""
    url = options.url or "null"
    command = [sys.executable, HERE / "writer.py", url, root]
    processes = [
        subprocess.Popen([*command, f"run-{number}", str(epochs)], env=environment(), stderr=subprocess.PIPE, text=True)
        for number in range(writers)
    ]
    errors = [writer.communicate(timeout=500)[1] for writer in processes]
    assert [writer.returncode for writer in processes] == [0] * writers, errors
    assert errors == [""] * writers


def assert_complete(engine, root, writers, epochs):
    """Assert that the rows of all writers are in the registry: none is missing, duplicated, or in another run."""
    query = (
        sa.select(tables.run.c.name, tables.run.c.command, tables.run.c.status, sa.func.count())
        .join(tables.epoch_metric)
        .where(tables.epoch_metric.c.metric.in_(["loss", tables.run.c.name]))
        .group_by(tables.run.c.id)
    )
    with store.connect_read_only(engine) as connection:
        counts = [tuple(row) for row in connection.execute(query)]
    names = [f"run-{number}" for number in range(writers)]
    assert sorted(counts) == sorted((name, name, "finished", 2 * epochs) for name in names)
    assert count_rows(engine, tables.epoch_metric) == 2 * epochs * writers
    assert (count_rows(engine, tables.architecture), count_rows(engine, tables.dataset)) == (1, 1)
    assert verification.verify_journals(engine, root) == (writers, [])


@pytest.mark.slow
def test_4_processes_share_a_new_registry(registry, tmp_path):
    run_writers(registry, tmp_path, 4, 5)
    assert_complete(store.create_engine(registry, tmp_path), tmp_path, 4, 5)


@pytest.mark.parametrize(
    "processes", [pytest.param(24, marks=pytest.mark.slow), pytest.param(64, marks=pytest.mark.release)]
)
def test_many_processes_share_a_new_registry(registry, tmp_path, processes):
    run_writers(registry, tmp_path, processes, 20)
    assert_complete(store.create_engine(registry, tmp_path), tmp_path, processes, 20)


@pytest.mark.slow
def test_16_processes_create_the_default_sqlite_file_together(tmp_path):
    run_writers(Registry(), tmp_path, 16, 5)
    assert_complete(store.create_engine(Registry(), tmp_path), tmp_path, 16, 5)


KILLED_WRITER = """
import sys
from pipeline.registry import ingestion, journal, store
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
engine = store.create_engine(Registry(url=sys.argv[1]), "")
run_journal = journal.RunJournal(sys.argv[2])
ingestion.ingest_journal(engine, sys.argv[2])
print("ready", flush=True)
for epoch in range(1, 100_000):
    run_journal.add(Event.EPOCH, epoch=epoch, metrics={f"metric {number}": epoch + number for number in range(40)})
    ingestion.ingest_journal(engine, sys.argv[2])
"""


@pytest.mark.parametrize(
    "kills", [pytest.param(20, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.release)]
)
def test_killed_writer_loses_and_duplicates_no_line(registry, engine, tmp_path, kills):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    path = write_run(tmp_path, "a", epochs=0)
    for _ in range(kills):
        command = [sys.executable, "-c", KILLED_WRITER, registry.url, path]
        writer = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        try:
            writer.wait(moments.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
    ingestion.ingest_journal(engine, path)
    lines = journal.read_journal(path).parse_lines()
    written = {line["epoch"] for _, line in lines if line["event"] == Event.EPOCH}
    assert count_rows(engine, tables.epoch_metric) == 40 * len(written) > 0
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_parallel_ingestion_of_one_journal_counts_each_line_once(engine, tmp_path):
    paths = [write_run(tmp_path, f"run-{number}") for number in range(10)]
    counts = []
    threads = [
        threading.Thread(target=lambda: counts.append(sum(ingestion.ingest_journal(engine, path) for path in paths)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 7 * len(paths)
    assert verification.verify_journals(engine, tmp_path) == (len(paths), [])
